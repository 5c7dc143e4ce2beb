"""A map of videos, as a picture and as a page that opens offline."""

from __future__ import annotations

import builtins
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser import needs_browser, page
from timesformer import Predictor
from timesformer.errors import UserError
from timesformer.visualization.embeddings import (
    Plane,
    as_page,
    colours,
    draw,
    headline,
    show_embeddings,
    tsne,
    umap,
)
from timesformer.visualization.features import UNKNOWN, Features


def two_groups(each: int = 12) -> np.ndarray:
    """Directions (2 * each, 8) around two axes."""
    noise = np.random.default_rng(0).normal(scale=0.05, size=(2 * each, 8))
    noise[:each, 0] += 1
    noise[each:, 1] += 1
    return (noise / np.linalg.norm(noise, axis=1, keepdims=True)).astype(np.float32)


def plane(names: tuple[str, ...] = ("a<b>", "$b$")) -> Plane:
    return Plane(
        lines=["of $4 <videos>", "checkpoint"],
        points=np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        videos=["a.mp4", "b<i>.mp4", "c.mp4", "d.mp4"],
        labels=np.array([0, 0, 1, UNKNOWN]),
        predictions=np.array([0, 1, 1, 0]),
        names=names,
    )


@pytest.mark.parametrize(
    "method", [tsne, pytest.param(umap, marks=pytest.mark.slow)], ids=["tsne", "umap"]
)
def test_groups_stay_groups_and_the_map_stays_the_same(method: Any) -> None:
    project, directions = method(), two_groups()
    points = project(directions)
    centres = points[:12].mean(axis=0), points[12:].mean(axis=0)
    own = np.linalg.norm(points - np.repeat(centres, 12, axis=0), axis=1)
    other = np.linalg.norm(points - np.repeat(centres[::-1], 12, axis=0), axis=1)
    assert (own < other).all()
    assert np.array_equal(project(directions), points)


def test_few_videos_are_enough() -> None:
    assert tsne()(two_groups(2)).shape == (4, 2)


def test_without_umap_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "umap":
            raise ImportError("No module named 'umap'")
        return usual(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"needs umap-learn .*pip install 'timesformer\[umap\]'"):
        umap()


def test_the_headline_says_how_well_classes_are_told_apart() -> None:
    features = Features(
        list("abcd"), np.eye(4, dtype=np.float32)[[0, 0, 1, 1]], np.array([0, 0, 1, 1])
    )
    lines = headline(features, np.array([0, 1, 1, 1]), "tsne", "test", "run/x.pyth")
    assert lines[0] == "t-SNE of the features of 4 videos, test"
    assert lines[1].startswith("run/x.pyth: 5 nearest neighbours ")
    assert lines[1].endswith("(leave-one-out), the head 75.0 %")
    unknown = Features(features.videos, features.values, np.full(4, UNKNOWN))
    assert headline(unknown, np.zeros(4), "umap", "test", "x")[1] == "x"


def test_colours_differ() -> None:
    for number in (3, 12, 200):
        names = tuple(f"class {k}" for k in range(number))
        labels = np.arange(number)
        many = Plane([], np.zeros((number, 2)), names, labels, labels, names)
        assert len(set(colours(many).values())) > 0.9 * number
    assert colours(plane())[UNKNOWN] == "#b5b5b5"


def test_any_name_can_be_drawn(tmp_path: Path) -> None:
    bad = "$_$ caf\udce9 %{x} <b>"
    hostile = replace(plane((bad, "_")), lines=[bad, bad], videos=[bad] * 4)
    figure = draw(hostile)
    figure.savefig(tmp_path / "map.png")
    assert len(figure.axes[0].get_legend().get_texts()) == 3  # the class "_" as well
    as_page(hostile).encode()


def test_wrong_ones_are_crosses() -> None:
    figure = draw(plane())
    axes = figure.axes[0]
    sizes = [len(points.get_offsets()) for points in axes.collections]
    assert sizes == [1, 1, 1, 0, 1, 0]  # right and wrong of each class and of none
    assert figure.get_suptitle() == "of \\$4 <videos>\ncheckpoint"


def test_a_long_title_does_not_run_into_the_names_of_classes(tmp_path: Path) -> None:
    figure = draw(replace(plane(("some long name of a class", "b")), lines=["x", "x" * 100]))
    figure.savefig(tmp_path / "map.png")
    title, legend = figure.texts[0], figure.axes[0].get_legend()
    assert title.get_window_extent().x1 > legend.get_window_extent().x0
    assert not title.get_window_extent().overlaps(legend.get_window_extent())


@needs_browser
@pytest.mark.slow
def test_the_page_opens_offline_and_a_point_tells_its_video(tmp_path: Path) -> None:
    path = tmp_path / "map.html"
    names = ('%{x} "a"<b>', "$b$")
    path.write_text(as_page(plane(names)), encoding="utf-8")
    with page() as opened:
        opened.goto(path.as_uri())
        opened.wait_for_selector(".scatterlayer .point")
        points = opened.query_selector_all(".scatterlayer .point")
        assert len(points) == 4
        box = points[1].bounding_box()
        opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        words = opened.wait_for_selector(".hoverlayer .hovertext").text_content()
    for part in ("b<i>.mp4", 'class %{x} "a"<b>', "the head says $b$"):
        assert part in words


def test_files(predictor: Predictor, tmp_path: Path) -> None:
    paths = show_embeddings(predictor, tmp_path / "map")
    assert [path.name for path in paths] == ["map.png", "map.html", "map.npz"]
    with Image.open(paths[0]) as picture:
        assert picture.width > 800
    again = show_embeddings(predictor, tmp_path / "again.png", features_file=str(paths[2]))
    assert [path.name for path in again] == ["again.png", "again.html"]
    small = np.load(paths[2])
    np.savez(tmp_path / "few.npz", videos=small["videos"][:3], features=small["features"][:3])
    with pytest.raises(UserError, match="A map takes 4 videos or more, and there are 3"):
        show_embeddings(predictor, tmp_path / "few", features_file=str(tmp_path / "few.npz"))
