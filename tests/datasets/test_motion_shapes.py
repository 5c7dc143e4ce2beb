"""MotionShapes: balanced classes that only motion tells apart; made whole, and made once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from timesformer.annotations.csv_list import read_video_list
from timesformer.annotations.subset import check_first_exists
from timesformer.datasets import motion_shapes
from timesformer.datasets.motion_shapes import CLASSES, Recipe, ensure_motion_shapes, make_recipe
from timesformer.errors import UserError

SMALL = {"num_train": 8, "num_val": 4, "num_test": 4}
SIZE = np.array([motion_shapes.WIDTH, motion_shapes.HEIGHT])
HEADINGS = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "MotionShapes"
    ensure_motion_shapes(root, **SMALL)
    return root


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.fixture(scope="module")
def recipes() -> list[list[Recipe]]:
    """Of each class the first 200."""
    every = [make_recipe(0, "train", index) for index in range(800)]
    return [every[label :: len(CLASSES)] for label in range(len(CLASSES))]


def assert_same_files(first: Path, second: Path) -> None:
    for path in sorted(first.rglob("*.*")):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()


def on_the_torus(differences: np.ndarray) -> np.ndarray:
    """Differences of places, the short way round: (..., 2) in [-SIZE / 2, SIZE / 2)."""
    return (differences + SIZE / 2) % SIZE - SIZE / 2


def test_the_lists_are_balanced_and_readable(made: Path) -> None:
    for split, count in (("train", 8), ("val", 4), ("test", 4)):
        videos = read_video_list(made / f"{split}.csv", num_classes=len(CLASSES))
        check_first_exists(videos)
        assert all(Path(path).is_file() for path in videos.paths)
        assert np.bincount(videos.labels).tolist() == [count // 4] * 4
    assert (made / "classes.txt").read_text().split() == list(CLASSES)


def test_a_file_is_a_small_h264_video(made: Path) -> None:
    path = made / "videos/train/00000.mp4"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == motion_shapes.FPS
    assert decode(path).shape == (24, 64, 72, 3)
    assert path.stat().st_size < 12_000


def test_the_same_seed_gives_the_same_frames_and_another_seed_others() -> None:
    first, again = (motion_shapes.draw(make_recipe(3, "val", 5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for other in (make_recipe(4, "val", 5), make_recipe(3, "test", 5), make_recipe(3, "val", 9)):
        assert not np.array_equal(first, motion_shapes.draw(other))


def test_the_same_seed_gives_the_same_files(made: Path, tmp_path: Path) -> None:
    ensure_motion_shapes(tmp_path / "again", **SMALL)
    assert_same_files(made, tmp_path / "again")


def test_several_processes_make_the_same_files_as_one(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(motion_shapes, "_CLIPS_WORTH_A_PROCESS", 8)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    ensure_motion_shapes(tmp_path / "again", **SMALL)
    assert_same_files(made, tmp_path / "again")


@pytest.mark.parametrize("frame", [0, 11, 23])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_place_in_a_single_frame_says_nothing(
    recipes: list[list[Recipe]], frame: int, axis: int
) -> None:
    grid = np.linspace(0, SIZE[axis], 50)
    for of_class in recipes:
        places = np.sort([recipe.centres[frame, axis] for recipe in of_class])
        share_below = np.searchsorted(places, grid) / len(places)
        # Kolmogorov-Smirnov against the uniform distribution: exceeded once in 10,000 by chance.
        assert np.abs(share_below - grid / SIZE[axis]).max() < 2.23 / np.sqrt(len(places))


def test_the_looks_of_a_single_frame_say_nothing(recipes: list[list[Recipe]]) -> None:
    """What else is random does not know the class: equal means, to 4.5 standard errors."""
    looks = np.array(
        [
            [(r.radius, r.angle, *r.colour, r.background.mean()) for r in of_class]
            for of_class in recipes
        ]
    )
    means, errors = looks.mean(axis=1), looks.std(axis=1) / np.sqrt(looks.shape[1])
    assert (np.abs(means - means.mean(axis=0)) < 4.5 * errors).all()


def test_two_frames_tell_the_direction_even_when_only_8_of_24_are_seen(
    recipes: list[list[Recipe]],
) -> None:
    for name, of_class in zip(CLASSES, recipes, strict=True):
        heading = np.array(HEADINGS[name])
        for recipe in of_class:
            steps = on_the_torus(np.diff(recipe.centres[::3], axis=0)) / SIZE
            along = steps @ heading
            np.testing.assert_allclose(steps, along[:, None] * heading, atol=1e-12)
            assert along.min() > 0.06
            assert along.max() < 0.13  # far from one half, where forward and back look the same


def test_the_decoded_video_shows_the_motion(made: Path) -> None:
    """The place of the shape, found in the compressed pixels, moves as the recipe says."""
    for index in range(8):
        recipe = make_recipe(0, "train", index)
        frames = decode(made / f"videos/train/{index:05d}.mp4").astype(float)
        shape = np.abs(frames - recipe.background).max(axis=-1) > 40
        for mask, centre in zip(shape, recipe.centres, strict=True):
            y, x = np.nonzero(mask)
            offsets = on_the_torus(np.stack([x, y], axis=1) - centre)
            assert np.abs(offsets).max() < 1.25 * recipe.radius + 2  # no trace anywhere else
            assert np.abs(offsets.mean(axis=0)).max() < 2


def test_a_shape_stands_out_from_its_background(recipes: list[list[Recipe]]) -> None:
    for of_class in recipes:
        for recipe in of_class:
            assert np.abs(recipe.background - recipe.colour).min() > 30
            assert recipe.background.min() >= 0
            assert recipe.background.max() <= 255


def test_a_made_set_is_left_alone(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    ensure_motion_shapes(made, **SMALL)
    assert before == {path: path.stat().st_mtime_ns for path in made.rglob("*")}


def test_another_seed_size_or_version_is_refused_and_kept(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"holds another MotionShapes .*--force"):
        ensure_motion_shapes(made, seed=1, **SMALL)
    with pytest.raises(UserError, match=r"holds another MotionShapes .*--force"):
        ensure_motion_shapes(made, **{**SMALL, "num_val": 5})
    monkeypatch.setattr(motion_shapes, "_VERSION", 999)
    with pytest.raises(UserError, match=r"holds another MotionShapes .*--force"):
        ensure_motion_shapes(made, **SMALL)
    assert json.loads((made / "meta.json").read_text())["seed"] == 0


def test_force_replaces_a_motion_shapes(tmp_path: Path) -> None:
    root = tmp_path / "MotionShapes"
    ensure_motion_shapes(root, **SMALL)
    ensure_motion_shapes(root, seed=1, **SMALL, force=True)
    assert json.loads((root / "meta.json").read_text())["seed"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".MotionShapes.lock",
        "MotionShapes",
    ]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("meta", [None, "not json", "[]", '{"name": "Kinetics"}'])
def test_a_folder_of_something_else_is_never_touched(
    tmp_path: Path, meta: str | None, force: bool
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    if meta is not None:
        (tmp_path / "meta.json").write_text(meta)
    with pytest.raises(UserError, match="is not a MotionShapes data set"):
        ensure_motion_shapes(tmp_path, **SMALL, force=force)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="could not be written to"):
        ensure_motion_shapes(tmp_path / "file" / "MotionShapes", **SMALL)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"num_val": 0}])
def test_a_wrong_seed_or_size_is_a_sentence(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="a seed of 0 or more and a clip or more"):
        ensure_motion_shapes(tmp_path / "MotionShapes", **{**SMALL, **wrong})


def start_tool(root: Path, num_train: int) -> subprocess.Popen[str]:
    tool = Path(__file__).parents[2] / "tools" / "make_motion_shapes.py"
    sizes = ["--num-train", str(num_train), "--num-val", "4", "--num-test", "4"]
    return subprocess.Popen(
        [sys.executable, str(tool), "--out", str(root), *sizes],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_four_processes_at_once_make_it_once(tmp_path: Path) -> None:
    root = tmp_path / "MotionShapes"
    tools = [start_tool(root, 40) for _ in range(4)]
    for tool in tools:
        output, errors = tool.communicate()
        assert (tool.returncode, errors) == (0, "")
        assert output == f"MotionShapes is in {root}\n"
    lines = (root / "train.csv").read_text().splitlines()
    assert len(lines) == len(list((root / "videos/train").iterdir())) == 40
    # Made once: a second maker would have renamed its folder over the first and made it younger.
    youngest = max(path.stat().st_mtime_ns for path in root.rglob("*.mp4"))
    assert root.stat().st_mtime_ns <= youngest
    assert len(list(tmp_path.iterdir())) == 2


def test_a_killed_run_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    root = tmp_path / "MotionShapes"
    tool = start_tool(root, 1000)
    while not list(tmp_path.glob(".MotionShapes.partial-*/new/videos/train/*.mp4")):
        assert tool.poll() is None
        time.sleep(0.01)
    os.killpg(tool.pid, signal.SIGKILL)
    tool.communicate()
    assert not root.exists()

    ensure_motion_shapes(root, **SMALL)
    assert len(list((root / "videos/train").iterdir())) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".MotionShapes.lock",
        "MotionShapes",
    ]
