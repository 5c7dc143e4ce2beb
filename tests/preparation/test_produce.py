"""New data sets: whole, made once, and the same however often the work was cut short."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.preparation.made import (
    HOW,
    ROOT,
    assert_same_pictures,
    data_set,
    files_of,
    make_video,
    psnr,
    run_door,
    write_lists,
)
from timesformer.annotations.csv_list import read_video_list
from timesformer.annotations.subset import check_first_exists
from timesformer.datasets.decode import VideoReader, decode_all
from timesformer.datasets.frame_folder import FrameFolder
from timesformer.errors import UserError
from timesformer.preparation.encode import VideoSettings
from timesformer.preparation.extract import FrameSettings
from timesformer.preparation.produce import extract_frames, prepare_dataset
from timesformer.preparation.workers import How

FINE = VideoSettings(crf=4, frames_fps=25.0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three sound videos, one of them in both lists, and one that is none."""
    videos = tmp_path / "videos"
    make_video(videos / "run" / "a.mp4")
    make_video(videos / "run" / "a.avi", codec="mpeg4", seed=1)
    make_video(videos / "walk" / "b, c.mkv", seed=2)
    (videos / "walk" / "text.mp4").write_text("404 not found\n" * 9)
    (videos / "classes.txt").write_text("run\nwalk\n")
    return write_lists(
        videos,
        train='run/a.mp4 0\nrun/a.avi 0\n"walk/b, c.mkv" 1\nwalk/text.mp4 1\n',
        val="run/a.mp4 0\n",
    )


def prepare(source: Path, out: Path, **how: float) -> None:
    lenient = How(HOW.crew, how.pop("max_failed_fraction", 0.3), **how)
    prepare_dataset(data_set(source), out, FINE, lenient)


def made_at(out: Path) -> dict[str, int]:
    """When each video was written."""
    return {p.name: p.stat().st_mtime_ns for p in out.rglob("*.mp4")}


def manifest(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_videos_lists_and_quarantine(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(source, out)
    originals = {"run/a-2.mp4": "run/a.mp4", "run/a.mp4": "run/a.avi", "walk/b, c.mp4": None}
    train = read_video_list(out / "train.csv", num_classes=2)
    check_first_exists(train)
    assert sorted(os.path.relpath(path, out) for path in train.paths) == sorted(originals)
    assert list(train.labels) == [0, 0, 1]
    assert train.class_names == ("run", "walk")
    assert read_video_list(out / "val.csv").paths[0] == str(out / "run" / "a-2.mp4")
    for path, line in zip(train.paths, ("run/a.mp4", "run/a.avi", "walk/b, c.mkv"), strict=True):
        assert_same_pictures(decode_all(path), decode_all(str(source / line)), 36)
    failed = (out / "failed.csv").read_text().splitlines()
    assert failed[0] == "path,split,reason,start,end"
    assert failed[1].startswith(f'"{source}/walk/text.mp4","train","it is text: ')
    assert len(failed) == 2
    assert len(manifest(out)) == 3
    assert sorted(p.name for p in out.iterdir() if p.is_file() and p.suffix != ".csv") == [
        ".lock",
        "classes.txt",
        "manifest.jsonl",
    ]


def test_the_door(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    words = [source / "train.csv", source / "val.csv", "--out", tmp_path / "out", "--workers", 1]
    code = run_door("prepare_dataset", *words, monkeypatch=monkeypatch)
    assert str(code).startswith("error: 1 of 4 videos cannot be read; the first is ")
    assert "in " + str(tmp_path / "out" / "failed.csv") in str(code)
    assert not (tmp_path / "out" / "train.csv").exists()

    allowed = ("--max-failed-fraction", 0.5)
    assert run_door("prepare_dataset", *words, *allowed, monkeypatch=monkeypatch) is None
    said = caplog.text
    assert "3 of 4 are there already" in said
    assert "3 videos, 60 frames, 0.0 MB; before, " in said
    assert "1 could not be read and are in no list" in said
    assert f"python tools/check_dataset.py {tmp_path}/out/train.csv {tmp_path}/out/val.csv" in said
    assert f"DATA.PATH_TO_DATA_DIR {tmp_path}/out DATA.PATH_PREFIX {tmp_path}/out" in said


def test_a_second_run_makes_nothing_twice(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(source, out)
    files, times = files_of(out), made_at(out)
    prepare(source, out)
    assert (files_of(out), made_at(out)) == (files, times)


def change_the_source(source: Path, out: Path) -> None:
    make_video(source / "run" / "a.avi", codec="mpeg4", seed=1)


def lose_the_file(source: Path, out: Path) -> None:
    (out / "run" / "a.mp4").unlink()


def cut_the_file(source: Path, out: Path) -> None:
    with (out / "run" / "a.mp4").open("r+b") as file:
        file.truncate(100)


def tear_the_manifest(source: Path, out: Path) -> None:
    lines = (out / "manifest.jsonl").read_text().splitlines()
    lines.sort(key=lambda line: '"run/a.mp4"' in line)
    (out / "manifest.jsonl").write_text("\n".join(lines)[:-20])


@pytest.mark.parametrize(
    "damage", [change_the_source, lose_the_file, cut_the_file, tear_the_manifest]
)
def test_only_what_is_missing_is_made(
    damage: Callable[[Path, Path], None], source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    prepare(source, out)
    files, times = files_of(out), made_at(out)
    damage(source, out)
    prepare(source, out)
    assert files_of(out) == files
    remade = {name for name, when in made_at(out).items() if when != times[name]}
    assert remade == {"a.mp4"}
    prepare(source, out)
    assert {name for name, when in made_at(out).items() if when != times[name]} == {"a.mp4"}


def test_other_settings_are_refused_or_replace(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(source, out)
    files = files_of(out)
    smaller = VideoSettings(crf=4, short_side=32, frames_fps=25.0)
    lenient = How(HOW.crew, 0.3)
    with pytest.raises(UserError, match=r"made otherwise \(short_side 256, now 32\). Name another"):
        prepare_dataset(data_set(source), out, smaller, lenient)
    with pytest.raises(UserError, match="made otherwise .kind VideoSettings, now FrameSettings"):
        extract_frames(data_set(source), out, FrameSettings(), lenient)
    assert files_of(out) == files
    prepare_dataset(data_set(source), out, smaller, How(HOW.crew, 0.3, overwrite=True))
    assert decode_all(str(out / "run" / "a.mp4")).shape == (20, 32, 42, 3)
    with pytest.raises(UserError, match="made otherwise .short_side 32, now 256"):
        prepare(source, out)


def test_other_folders_are_left_alone(source: Path, tmp_path: Path) -> None:
    before = files_of(source)
    with pytest.raises(UserError, match="holds something else: it has no manifest.jsonl"):
        prepare(source, source)
    assert files_of(source) == before
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/out' cannot be written to \(.*: name another --out"):
        prepare(source, tmp_path / "file" / "out")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "manifest.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(UserError, match="is not a manifest of these tools"):
        prepare(source, tmp_path / "foreign")


def test_sources_are_never_replaced(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4")
    make_video(tmp_path / "out" / "a.mp4")
    lists = write_lists(tmp_path / "lists", train="../a.mp4 0\n")
    prepare(lists, tmp_path / "new")
    inside = write_lists(tmp_path / "other", train="../new/a.mp4 0\n")
    before = files_of(tmp_path / "new")
    with pytest.raises(UserError, match="new/a.mp4' would be replaced by what is made of it"):
        prepare(inside, tmp_path / "new")
    assert files_of(tmp_path / "new") == before


def test_nothing_but_unreadable_videos(source: Path, tmp_path: Path) -> None:
    lists = write_lists(tmp_path / "lists", train=f"{source}/walk/text.mp4 0\n/missing.mp4 0\n")
    for _ in range(2):
        with pytest.raises(UserError, match="2 of 2 videos cannot be read"):
            prepare(lists, tmp_path / "out", max_failed_fraction=1.0)
    assert "No such file" in (tmp_path / "out" / "failed.csv").read_text()


def test_spans_become_files(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", num_frames=40)
    lists = "path,label,start,end\na.mp4,0,0,0.8\na.mp4,1,0.8,\na.mp4,1,,\na.mp4,1,7,9\n"
    prepare(
        write_lists(tmp_path / "lists", train=lists.replace("a.mp4", "../a.mp4")), tmp_path / "o"
    )
    videos = read_video_list(tmp_path / "o" / "train.csv")
    assert videos.spans is None
    assert list(videos.labels) == [0, 1, 1]
    every = decode_all(str(tmp_path / "a.mp4"))
    for path, frames in zip(videos.paths, (every[:20], every[20:], every), strict=True):
        assert_same_pictures(decode_all(path), frames, 36)
    assert (
        '"it has no frame from 7 s to 9 s: it is 1.6 s long",7.0,9.0'
        in (tmp_path / "o" / "failed.csv").read_text()
    )


def test_frames_and_back(source: Path, tmp_path: Path) -> None:
    """Extracted losslessly and prepared again, a data set looks as it did."""
    frames, again = tmp_path / "frames", tmp_path / "again"
    settings = FrameSettings(pattern="%03d.png", frames_fps=25.0)
    extract_frames(data_set(source), frames, settings, How(HOW.crew, 0.3))
    videos = read_video_list(frames / "train.csv")
    names = ("run/a.mp4", "run/a.avi", "walk/b, c.mkv")
    for path, line in zip(videos.paths, names, strict=True):
        reader = FrameFolder(path, fps=25)
        np.testing.assert_array_equal(
            reader.read(range(reader.num_frames)), decode_all(str(source / line))
        )
    times = {path: path.stat().st_mtime_ns for path in frames.rglob("*.png")}
    assert len(times) == 60
    next(iter(times)).unlink()  # its folder is made again, and no other
    extract_frames(data_set(source), frames, settings, How(HOW.crew, 0.3))
    remade = {path for path in frames.rglob("*.png") if path.stat().st_mtime_ns != times[path]}
    assert {path.parent for path in remade} == {next(iter(times)).parent}
    assert len(remade) == 20

    prepare(frames, again)
    for path, line in zip(read_video_list(again / "train.csv").paths, names, strict=True):
        assert psnr(decode_all(path), decode_all(str(source / line))).min() > 36
        with VideoReader(path) as reader:
            assert reader.fps == 25


def test_extraction_says_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_video(tmp_path / "a.mp4", rate=12)
    make_video(tmp_path / "b.mp4", rate=25)
    lists = write_lists(tmp_path / "lists", train="../a.mp4 0\n../b.mp4 0\n")
    words = (lists / "train.csv", "--workers", 1)
    assert (
        run_door("extract_frames", *words, "--out", tmp_path / "o", monkeypatch=monkeypatch) is None
    )
    assert "2 rates, 12 to 25 frames per second" in caplog.text
    out = ("--out", tmp_path / "p", "--fps", 6, "--short-side", 24)
    assert run_door("extract_frames", *words, *out, monkeypatch=monkeypatch) is None
    assert "Train on them with DATA.FRAMES_FPS 6\n" in caplog.text
    assert len(list((tmp_path / "p" / "a").iterdir())) == 10
    assert len(list((tmp_path / "p" / "b").iterdir())) == 5


# --- cut short ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough work to be cut short."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(12):
        make_video(folder / f"{number}.mp4", size=(160, 128), num_frames=60, seed=number)
    return write_lists(folder, train="".join(f"{n}.mp4 {n % 2}\n" for n in range(12)))


def start(source: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, ROOT / "tools" / "prepare_dataset.py", source / "train.csv"]
    return subprocess.Popen(
        [*map(str, command), "--out", str(out), "--workers", "2", "--preset", "slower"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def wait_for(out: Path, count: int) -> None:
    """Until so many videos are done."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (out / "manifest.jsonl").exists() and len(manifest_lines(out)) >= count:
            return
        time.sleep(0.01)
    raise TimeoutError


def manifest_lines(out: Path) -> list[str]:
    return (out / "manifest.jsonl").read_text().splitlines()


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


@pytest.mark.slow
def test_killed_and_continued_is_the_same(many: Path, tmp_path: Path) -> None:
    assert finish(start(many, tmp_path / "whole"))[0] == 0
    out = tmp_path / "out"
    for count in (1, 5):
        process = start(many, out)
        wait_for(out, count)
        process.send_signal(signal.SIGKILL)
        finish(process)
        assert not (out / "train.csv").exists()
    done = len(manifest_lines(out))
    assert 5 <= done < 12
    times = made_at(out)
    assert finish(start(many, out))[0] == 0
    assert files_of(out) == files_of(tmp_path / "whole")
    assert sum(made_at(out).get(name) == when for name, when in times.items()) >= done


@pytest.mark.slow
def test_ctrl_c_is_answered_by_how_to_continue(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(many, out)
    wait_for(out, 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to all processes
    code, errors = finish(process)
    assert code == 130
    assert errors.splitlines()[-1] == (
        "stopped. What is done stays: start the same command again to continue."
    )
    assert "Traceback" not in errors
    assert not (out / ".partial").exists()


@pytest.mark.slow
def test_two_runs_do_not_write_the_same(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(many, out)
    wait_for(out, 1)
    with pytest.raises(UserError, match="Another run is writing to"):
        prepare(many, out)
    assert finish(process)[0] == 0


@pytest.mark.slow
def test_a_full_disk(many: Path, tmp_path: Path) -> None:
    """A limit on the size of files, which stands for a disk with as much room."""
    command = [sys.executable, ROOT / "tools" / "prepare_dataset.py", many / "train.csv"]
    limited = "ulimit -f 20; exec " + " ".join(map(str, command)) + f" --out {tmp_path}/out"
    result = subprocess.run(
        ["bash", "-c", limited],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == 1
    assert "cannot be written" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
