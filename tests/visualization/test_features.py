"""Features are computed once, and say which videos are alike."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from timesformer import Predictor
from timesformer.errors import UserError
from timesformer.inference.kept import settings_of
from timesformer.visualization.features import (
    UNKNOWN,
    Features,
    compute_features,
    features_of,
    labels_in_list,
    load_features,
    majority,
    nearest,
    neighbour_accuracy,
    predictions,
    save_features,
)


def made(values: list[list[float]], labels: npt.ArrayLike) -> Features:
    return Features(
        [f"{i}.mp4" for i in range(len(values))],
        np.array(values, dtype=np.float32),
        np.array(labels, dtype=np.int64),
    )


def test_features_are_those_of_the_predictor(
    predictor: Predictor, clips: list[Path], tmp_path: Path
) -> None:
    features = features_of(predictor, "test", None, tmp_path / "f.npz")
    assert [Path(video).name for video in features.videos] == [clip.name for clip in clips]
    assert features.labels.tolist() == [i % 4 for i in range(10)]
    # the same videos in other batches
    alone = predictor.features([clips[4]])[0]
    assert features.values[4] == pytest.approx(alone, abs=1e-5)
    again = features_of(predictor, "test", str(tmp_path / "f.npz"), tmp_path / "unused.npz")
    assert np.array_equal(again.values, features.values)
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]


def test_the_head_reads_them(predictor: Predictor, clips: list[Path], tmp_path: Path) -> None:
    features = compute_features(predictor, "test", tmp_path / "f.npz")
    said = predictions(features, predictor.trained)
    assert said.tolist() == [int(predictor(clip).labels[0]) for clip in clips]


def test_what_was_interrupted_goes_on(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compute_features(predictor, "test", tmp_path / "whole.npz")
    outcomes = predictor.outcomes
    asked = []

    def stopped(dataset, what):  # type: ignore[no-untyped-def]
        asked.append(len(dataset))
        for number, outcome in enumerate(outcomes(dataset, what, batch_size=1)):
            if number == 3 and len(asked) == 1:
                raise KeyboardInterrupt
            yield outcome

    monkeypatch.setattr(predictor, "outcomes", stopped)
    with pytest.raises(KeyboardInterrupt, match="3 of 10 videos are kept in .*f.npz.partial"):
        compute_features(predictor, "test", tmp_path / "f.npz")
    features = compute_features(predictor, "test", tmp_path / "f.npz")
    assert asked == [10, 7]
    assert features.videos == whole.videos
    assert features.values == pytest.approx(whole.values, abs=1e-5)
    assert list(tmp_path.iterdir()) == []


def test_files_without_labels_get_those_of_the_list(
    predictor: Predictor,
    clips: list[Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "f.npz"
    videos = [str(clips[2]), str(clips[5]), "elsewhere.mp4"]
    np.savez(path, videos=np.array(videos), features=np.zeros((3, 64), np.float32))
    with caplog.at_level(logging.WARNING, logger="timesformer"):
        features = load_features(path, predictor.trained, "test")
    assert "does not say of which checkpoint its features are" in caplog.text
    assert features.labels.tolist() == [2, 1, UNKNOWN]
    assert "the test list has no class for 1 of the videos" in caplog.text


def test_the_features_of_a_file_are_of_it_played_forward(
    predictor: Predictor, clips: list[Path]
) -> None:
    cfg = predictor.trained.cfg.clone()
    cfg.defrost()
    cfg.DATA.ARROW_OF_TIME, cfg.MODEL.NUM_CLASSES = True, 2
    both = replace(predictor.trained, cfg=cfg)
    assert labels_in_list([str(clips[2]), "elsewhere.mp4"], both, "test").tolist() == [0, UNKNOWN]


def test_spans_are_kept(predictor: Predictor, tmp_path: Path) -> None:
    features = made([[1.0], [2.0]], [0, 1])
    with_spans = Features(features.videos, features.values, features.labels, np.eye(2))
    save_features(tmp_path / "f.npz", with_spans, settings_of(predictor.trained, "cls"))
    loaded = load_features(tmp_path / "f.npz", predictor.trained, "test")
    assert np.array_equal(loaded.spans, np.eye(2))


def test_files_of_something_else(predictor: Predictor, tmp_path: Path) -> None:
    text, other, ruined = (tmp_path / name for name in ("a.npz", "b.npz", "c.npz"))
    single, empty = tmp_path / "d.npy", tmp_path / "e.npz"
    text.write_text("no npz")
    np.save(single, np.zeros((2, 3)))
    empty.touch()
    np.savez(other, features=np.zeros((2, 3, 4)), videos=np.array(["a", "b"]))
    np.savez(ruined, features=np.full((1, 4), np.nan), videos=np.array(["a"]))
    for path, answer in (
        (text, "a.npz' cannot be read as an npz of features"),
        (tmp_path / "none.npz", "none.npz' cannot be read as an npz of features"),
        (single, "d.npy' cannot be read as an npz of features .it is a single array"),
        (empty, "e.npz' cannot be read as an npz of features"),
        (other, "b.npz' holds no features of videos .* tools/predict.py"),
        (ruined, "c.npz' holds features that are not finite"),
    ):
        with pytest.raises(UserError, match=answer):
            load_features(path, predictor.trained, "test")
    with pytest.raises(UserError, match="2 numbers for each video, and those of this checkpoint "):
        predictions(made([[1.0, 2.0]], [0]), predictor.trained)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"videos": ["a", "b", "c"]}, r"videos <U1 \(3,\), but for 2 features .* text \(2,\)"),
        ({"videos": [1, 2]}, r"holds videos int64 \(2,\), but"),
        ({"features": [[1, 2], [3, 4]]}, r"features int64 \(2, 2\), but .* must be floating point"),
        ({"labels": [0]}, r"holds labels int64 \(1,\), but .* must be integers \(2,\)"),
        ({"labels": [0.0, 1.0]}, r"holds labels float64 \(2,\), but"),
        ({"spans": [0.0, 1.0]}, r"holds spans float64 \(2,\), but .* \(2, 2\)"),
        ({"labels": [0, 99]}, "labels from 0 to 99, but this checkpoint knows the classes 0 to 3"),
        ({"labels": [-2, 0]}, "labels from -2 to 0, but"),
        ({"settings": "not JSON"}, "does not say what its features are of"),
        ({"settings": "[]"}, "does not say what its features are of"),
    ],
)
def test_arrays_that_do_not_fit(
    predictor: Predictor, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    arrays: dict[str, Any] = {"videos": ["a", "b"], "features": [[1.0], [2.0]], "labels": [0, -1]}
    path = tmp_path / "f.npz"
    np.savez(path, **arrays)
    assert load_features(path, predictor.trained, "test").values.dtype == np.float32
    np.savez(path, **arrays | changes)
    with pytest.raises(UserError, match=words):
        load_features(path, predictor.trained, "test")


def test_features_of_other_weights_are_refused(
    run: Path, predictor: Predictor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "f.npz"
    settings = settings_of(predictor.trained, "cls")
    save_features(path, made([[1.0], [2.0]], [0, 1]), settings)
    source = run / "checkpoints" / "checkpoint_epoch_00001.pyth"
    moved = Predictor(shutil.copy(source, tmp_path / "moved.pyth"))
    with caplog.at_level(logging.WARNING, logger="timesformer"):
        caplog.clear()
        load_features(path, moved.trained, "test")
        assert not caplog.text
        other_views = Predictor(source, overrides=["TEST.NUM_SPATIAL_CROPS", 1])
        load_features(path, other_views.trained, "test")
    assert "are of another number of views, another config" in caplog.text
    content = torch.load(source, weights_only=True)
    content["model_state"] = {name: 2 * w for name, w in content["model_state"].items()}
    torch.save(content, tmp_path / "other.pyth")
    other = Predictor(tmp_path / "other.pyth")
    words = r"f.npz' holds features of other weights \(.*00001.pyth\) than those of .*other.pyth"
    with pytest.raises(UserError, match=words):
        load_features(path, other.trained, "test")


def test_the_nearest_have_the_largest_cosine() -> None:
    features = made([[1, 0], [10, 1], [0, 1], [-1, 0]], [0, 0, 1, 1])
    found = nearest(features, np.array([2.0, 0.0], dtype=np.float32), 2, but={0})
    assert [index for index, _ in found] == [1, 2]
    assert [cosine for _, cosine in found] == pytest.approx([10 / 101**0.5, 0.0])


def test_neighbours_vote() -> None:
    assert majority([3, 1, 1, 3, 2]) == 3
    assert majority([2, 1, 1]) == 1
    apart = made(
        [[1, 0.01 * i] for i in range(6)] + [[0.01 * i, 1] for i in range(6)], 6 * [0] + 6 * [1]
    )
    assert neighbour_accuracy(apart) == 1.0
    mixed = made(apart.values.tolist(), [*(5 * [0]), 1, *(6 * [1])])
    assert neighbour_accuracy(mixed) == pytest.approx(11 / 12)
    assert np.isnan(neighbour_accuracy(made([[1, 2]], [0])))
    unknown = made(apart.values.tolist(), [*(6 * [0]), *(6 * [UNKNOWN])])
    assert neighbour_accuracy(unknown) == 1.0


def test_votes_are_those_of_a_full_sort() -> None:
    """Of more videos than are compared at once."""
    generator = np.random.default_rng(0)
    features = made(generator.normal(size=(1100, 8)).tolist(), generator.integers(0, 3, 1100))
    cosines = features.directions @ features.directions.T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1)[:, :5]
    votes = [majority(row.tolist()) for row in features.labels[order]]
    assert neighbour_accuracy(features) == pytest.approx(np.mean(votes == features.labels))
