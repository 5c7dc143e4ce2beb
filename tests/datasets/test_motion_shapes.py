"""MotionShapes in its folder: balanced, made whole, and made once, whatever the task."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from tests.synthetic.decoded import decode
from timesformer.annotations.csv_list import read_video_list
from timesformer.annotations.subset import check_first_exists
from timesformer.config import load_config
from timesformer.datasets import motion_shapes
from timesformer.datasets.lists import read_list
from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.errors import UserError
from timesformer.synthetic.tasks import TASKS

SMALL = {"num_train": 8, "num_val": 4, "num_test": 4}
ORDER = {"task": "order", "num_train": 12, "num_val": 6, "num_test": 6}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "MotionShapes"
    ensure_motion_shapes(root, **SMALL)
    return root


@pytest.fixture(scope="module")
def made_order(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "MotionShapesOrder"
    ensure_motion_shapes(root, **ORDER)
    return root


def assert_same_files(first: Path, second: Path) -> None:
    for path in sorted(first.rglob("*.*")):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()


@pytest.mark.parametrize(("task", "folder"), [("direction", "made"), ("order", "made_order")])
def test_the_lists_are_balanced_and_readable(
    task: str, folder: str, request: pytest.FixtureRequest
) -> None:
    root, classes = request.getfixturevalue(folder), TASKS[task].classes
    for split, of_each in (("train", 2), ("val", 1), ("test", 1)):
        videos = read_video_list(root / f"{split}.csv", num_classes=len(classes))
        check_first_exists(videos)
        assert all(Path(path).is_file() for path in videos.paths)
        assert np.bincount(videos.labels).tolist() == [of_each] * len(classes)
    assert (root / "classes.txt").read_text().split() == list(classes)


@pytest.mark.parametrize("task", TASKS)
def test_the_usual_sizes_are_balanced(task: str) -> None:
    for num in TASKS[task].num_clips.values():
        assert num % len(TASKS[task].classes) == 0


def test_a_file_is_a_small_h264_video(made: Path) -> None:
    path = made / "videos/train/00000.mp4"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 30
    assert decode(path).shape == (24, 64, 72, 3)
    assert path.stat().st_size < 12_000


def test_the_same_seed_gives_the_same_files(made: Path, tmp_path: Path) -> None:
    ensure_motion_shapes(tmp_path / "again", **SMALL)
    assert_same_files(made, tmp_path / "again")


def test_several_processes_make_the_same_files_as_one(
    made_order: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(motion_shapes, "_CLIPS_WORTH_A_PROCESS", 8)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    ensure_motion_shapes(tmp_path / "again", **ORDER)
    assert_same_files(made_order, tmp_path / "again")


NO_MAIN = """
import os, sys
from timesformer.datasets import motion_shapes
motion_shapes._CLIPS_WORTH_A_PROCESS = 8
os.cpu_count = lambda: 2
motion_shapes.ensure_motion_shapes(sys.argv[1], num_train=8, num_val=4, num_test=4)
"""


def test_a_script_that_is_imported_by_its_own_processes_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(NO_MAIN)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "made")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert 'put what is to be done once under `if __name__ == "__main__":`' in done.stderr
    assert "a process that wrote videos failed, as it says above" in done.stderr
    assert not (tmp_path / "made").exists()


def test_a_made_set_is_left_alone(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    ensure_motion_shapes(made, **SMALL)
    assert before == {path: path.stat().st_mtime_ns for path in made.rglob("*")}


def test_another_seed_size_task_or_version_is_refused_and_kept(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"holds another MotionShapes .*--force"):
        ensure_motion_shapes(made, seed=1, **SMALL)
    with pytest.raises(UserError, match=r"holds another MotionShapes .*--force"):
        ensure_motion_shapes(made, **{**SMALL, "num_val": 5})
    for task in ("appearance", "order"):
        with pytest.raises(UserError, match=rf"holds another .*'MotionShapes {task}'.*--force"):
            ensure_motion_shapes(made, task=task)
    later = replace(TASKS["direction"], version=999)
    monkeypatch.setitem(TASKS, "direction", later)
    with pytest.raises(UserError, match=r"holds another MotionShapes .*--force"):
        ensure_motion_shapes(made, **SMALL)
    assert json.loads((made / "meta.json").read_text())["seed"] == 0


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("motion_shapes", "direction"),
        ("motion_shapes_appearance", "appearance"),
        ("motion_shapes_order", "order"),
    ],
)
def test_a_config_makes_its_task_at_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, task: str
) -> None:
    small = replace(TASKS[task], num_clips={"train": 2, "val": 1, "test": 1})
    monkeypatch.setitem(TASKS, task, small)
    cfg = load_config(None, ["DATA.PATH_TO_DATA_DIR", str(tmp_path / "made")])
    videos = read_list(name, cfg, "train")
    assert videos.class_names == TASKS[task].classes
    assert len(videos) == 2
    other = "motion_shapes" if task == "order" else "motion_shapes_order"
    with pytest.raises(UserError, match=r"holds another MotionShapes .*DATA\.PATH_TO_DATA_DIR"):
        read_list(other, cfg, "train")


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


def test_an_unknown_task_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'speed' is not a task .*: direction, appearance, order"):
        ensure_motion_shapes(tmp_path / "MotionShapes", task="speed")
    assert not list(tmp_path.iterdir())


def test_force_replaces_another_task(tmp_path: Path) -> None:
    root = tmp_path / "MotionShapes"
    ensure_motion_shapes(root, **SMALL)
    ensure_motion_shapes(root, task="appearance", **SMALL, force=True)
    assert json.loads((root / "meta.json").read_text())["name"] == "MotionShapes appearance"
    assert (root / "classes.txt").read_text().split() == ["red", "green", "blue", "yellow"]


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
