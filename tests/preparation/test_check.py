"""What is wrong with a data set is found and named, and what is in order is listed."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path
from signal import SIGINT
from typing import Any

import cv2
import numpy as np
import pytest

from tests.preparation.made import (
    data_set,
    files_of,
    make_video,
    pictures,
    run_door,
    write_lists,
)
from tests.shared_data import DATA, needs_shared_data
from timesformer.annotations.csv_list import read_video_list
from timesformer.annotations.table import VideoList
from timesformer.errors import UserError
from timesformer.preparation.check import check_dataset
from timesformer.preparation.lists import DataSet
from timesformer.preparation.probed import PROBED, Probed
from timesformer.preparation.workers import Crew

CREW = Crew(1, 60)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each fault; classes 0 to 3, of which 2 is never trained."""
    folder = tmp_path_factory.mktemp("faulty")
    make_video(folder / "good.mp4")
    make_video(folder / "long.mkv", num_frames=40, seed=1, rate=50)
    shutil.copy(folder / "good.mp4", folder / "copy.mp4")
    make_video(folder / "other.mp4", seed=2, size=(48, 64))
    make_video(folder / "short.mp4", num_frames=4, seed=3)
    make_video(folder / "avi.mp4", seed=4, codec="mpeg4", container="avi")
    (folder / "text.mp4").write_text("<html>Video unavailable</html>\n")
    (folder / "empty.mp4").touch()
    whole = (folder / "good.mp4").read_bytes()
    middle = len(whole) // 2
    (folder / "cut.mp4").write_bytes(whole[:middle])
    (folder / "damaged.mp4").write_bytes(whole[:middle] + bytes(300) + whole[middle + 300 :])
    (folder / "frames").mkdir()
    for number, image in enumerate(pictures(6, seed=5)):
        cv2.imwrite(str(folder / "frames" / f"{number}.jpg"), image)
    (folder / "classes.txt").write_text("a\nb\nc\nd\n")
    train = {
        **{"good.mp4": 0, "copy.mp4": 1, "long.mkv": 1, "short.mp4": 0, "avi.mp4": 0},
        **{"text.mp4": 0, "empty.mp4": 1, "cut.mp4": 0, "damaged.mp4": 0, "missing.mp4": 0},
        **{"frames": 3, "other.mp4": 7},
    }
    lines = "".join(f"{name} {label}\n" for name, label in train.items())
    return write_lists(folder, train=lines + "long.mkv 1\n", val="other.mp4 2\ngood.mp4 0\n")


def check(lists: Path, out: Path, **options: Any) -> tuple[bool, dict[str, Any], dict[str, str]]:
    """Whether it is clean, the report, and the reasons of the quarantine by file name."""
    num_classes = {"num_classes": 4} if (lists / "classes.txt").exists() else {}
    is_clean = check_dataset(data_set(lists, **num_classes), out, CREW, **options)
    with (out / "quarantine.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    reasons = {f"{row['split']} {Path(row['path']).name}": row["reason"] for row in rows}
    return is_clean, json.loads((out / "report.json").read_text()), reasons


def test_every_fault_is_named(faulty: Path, tmp_path: Path) -> None:
    before = files_of(faulty)
    is_clean, report, reasons = check(faulty, tmp_path, min_frames=5)
    assert not is_clean
    assert reasons.pop("train cut.mp4").startswith("unreadable: ")
    assert re.fullmatch(r"unreadable: frame \d+ is damaged", reasons.pop("train damaged.mp4"))
    assert reasons == {
        "train short.mp4": "too short: 4 frames, and --min-frames is 5",
        "train text.mp4": "unreadable: it is text: '<html>Video unavailable</html>'",
        "train empty.mp4": "unreadable: it is empty",
        "train missing.mp4": "missing",
        "train other.mp4": "label outside: 7 is not one of 0 to 3",
    }
    assert report["quarantined"] == {
        "too short": 1,
        "unreadable": 4,
        "missing": 1,
        "label outside": 1,
    }
    assert files_of(faulty) == before


def test_the_lists_hold_what_is_in_order(faulty: Path, tmp_path: Path) -> None:
    check(faulty, tmp_path, min_frames=5)
    train = read_video_list(tmp_path / "train.csv", num_classes=4)
    names = ["good.mp4", "copy.mp4", "long.mkv", "avi.mp4", "frames", "long.mkv"]
    assert list(train.paths) == [str(faulty / name) for name in names]
    assert list(train.labels) == [0, 1, 1, 0, 3, 1]
    assert train.class_names == ("a", "b", "c", "d")
    is_clean, report, reasons = check(tmp_path, tmp_path / "again", min_frames=5)
    assert (is_clean, reasons, report["quarantined"]) == (True, {}, {})


def test_the_numbers(faulty: Path, tmp_path: Path) -> None:
    _, report, _ = check(faulty, tmp_path, min_frames=5)
    assert report["splits"] == {
        "train": {"lines": 13, "quarantined": 7, "labels": {"a": 2, "b": 3, "d": 1}},
        "val": {"lines": 2, "quarantined": 0, "labels": {"a": 1, "c": 1}},
    }
    assert report["classes_without_training_videos"] == ["c"]
    videos = report["videos"]
    assert videos["files"] == 6
    assert videos["frames"] == {"total": 126, "min": 6, "median": 20, "max": 40}
    assert videos["seconds"] == {"total": 4.24, "min": 0.24, "median": 0.8, "max": 0.8}
    assert videos["fps"] == {"25": 5, "50": 1}
    assert videos["sizes"] == {"64x48": 5, "48x64": 1}
    assert videos["formats"] == {
        "h264 in mov,mp4,m4a,3gp,3g2,mj2": 3,
        "h264 in matroska,webm": 1,
        "mpeg4 in avi": 1,
        "images": 1,
    }
    assert report["misnamed"] == {str(faulty / "avi.mp4"): "avi"}


def test_duplicates(faulty: Path, tmp_path: Path) -> None:
    _, report, _ = check(faulty, tmp_path / "a", min_frames=5)
    duplicates = report["duplicates"]
    assert duplicates["between"] == {"train and val": 2}  # other.mp4, and good.mp4 with its copy
    assert duplicates["within"] == {"train": 2}  # the copy, and long.mkv listed twice
    assert duplicates["labelled_differently"] == 2
    assert [sorted(Path(one["path"]).name for one in group) for group in duplicates["groups"]] == [
        ["copy.mp4", "good.mp4", "good.mp4"],
        ["long.mkv", "long.mkv"],
        ["other.mp4", "other.mp4"],
    ]
    _, dropped, reasons = check(faulty, tmp_path / "b", min_frames=5, drop_duplicates=True)
    found = {name: reason for name, reason in reasons.items() if reason.startswith("duplicate")}
    assert found == {
        "train good.mp4": f"duplicate: of '{faulty}/good.mp4' in val",
        "train copy.mp4": f"duplicate: of '{faulty}/good.mp4' in val",
        "train long.mkv": f"duplicate: of '{faulty}/long.mkv' in train",
    }
    assert dropped["quarantined"]["duplicate"] == 3
    assert len(read_video_list(tmp_path / "b" / "train.csv")) == 3
    assert len(read_video_list(tmp_path / "b" / "val.csv")) == 2


def test_spans_are_counted_and_kept_apart(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4")
    lines = "path,label,start,end\na.mp4,0,0,0.4\na.mp4,0,0.4,\na.mp4,0,0.76,0.8\na.mp4,0,3,4\n"
    write_lists(tmp_path, train=lines)
    _, report, _ = check(tmp_path, tmp_path / "out")
    assert report["duplicates"]["groups"] == []
    assert report["videos"]["files"] == 1
    assert [line["reason"] for line in report["left_out"]] == [
        "too short: 1 frames, and --min-frames is 2",
        "too short: 0 frames, and --min-frames is 2",
    ]
    kept = read_video_list(tmp_path / "out" / "train.csv")
    assert kept.spans is not None
    assert kept.spans.tolist()[0] == [0, 0.4]
    assert (tmp_path / "out" / "quarantine.csv").read_text().splitlines()[1].endswith(",0.76,0.8")


def test_videos_with_parts_missing(tmp_path: Path) -> None:
    late = [40 * i + (2000 if i > 9 else 0) for i in range(20)]
    make_video(tmp_path / "gap.mkv", times_ms=late, seed=1)
    whole = make_video(tmp_path / "cut.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    lists = write_lists(tmp_path, train="gap.mkv 0\ncut.mkv 0\n")
    _, report, reasons = check(lists, tmp_path / "out")
    assert list(reasons) == ["train cut.mkv"]
    assert reasons["train cut.mkv"].startswith("unreadable: it is cut short")
    assert report["gaps"] == {str(tmp_path / "gap.mkv"): pytest.approx(2.0, abs=0.05)}
    text = (tmp_path / "out" / "report.txt").read_text()
    assert f"Without a frame for long, by damage or as recorded: {tmp_path}/gap.mkv (2.0 s)" in text


def test_more_faults_than_a_page_shows(tmp_path: Path) -> None:
    names = [f"{number}.mp4" for number in range(13)]
    lists = write_lists(tmp_path, train="".join(f"{name} 0\n" for name in names))
    _, _, reasons = check(lists, tmp_path / "out")
    assert len(reasons) == 13
    assert (tmp_path / "out" / "report.txt").read_text().splitlines()[-1] == "  and 3 more"


def test_names_that_no_list_can_hold(tmp_path: Path) -> None:
    names = [os.fsdecode(name) for name in (b"bad\xff.mp4", b"two\nlines.mp4", b"fine #1.mp4")]
    for number, name in enumerate(names):
        make_video(tmp_path / name, seed=number, num_frames=4)
    paths = [str(tmp_path / name) for name in names]
    videos = VideoList(paths, np.zeros(3, np.int64), "list")
    out = tmp_path / "out"
    assert not check_dataset(DataSet({"train": videos}, None, 25.0), out, CREW)
    assert list(read_video_list(out / "train.csv").paths) == [str(tmp_path / "fine #1.mp4")]
    with (out / "quarantine.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == ["bad\\udcff.mp4", "two\nlines.mp4"]
    assert all(row["reason"].startswith("unlistable: ") for row in rows)


def test_a_minimum_below_one_is_refused(faulty: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--min-frames is 0; it must be 1 or more"):
        check(faulty, tmp_path / "out", min_frames=0)
    assert not (tmp_path / "out").exists()


def test_who_takes_too_long_is_named(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", num_frames=3)
    make_video(tmp_path / "b.mp4", num_frames=200, size=(320, 240))
    lists = write_lists(tmp_path, train="a.mp4 0\nb.mp4 0\n")
    hasty = Crew(1, 0.02)
    assert not check_dataset(data_set(lists), tmp_path / "out", hasty)
    quarantine = (tmp_path / "out" / "quarantine.csv").read_text()
    assert 'b.mp4","train","unreadable: it took longer than 0.02 seconds"' in quarantine


def stop_after_two(patch: pytest.MonkeyPatch) -> None:
    """Ctrl-C once the facts of two videos are on the disk."""
    add, added = Probed.add, []

    def add_and_stop(self: Probed, *seen: Any) -> None:
        add(self, *seen)
        added.append(seen)
        if len(added) == 2:
            os.kill(os.getpid(), SIGINT)

    patch.setattr(Probed, "add", add_and_stop)


def test_an_interrupted_check_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for seed in range(5):
        make_video(tmp_path / f"{seed}.mp4", num_frames=5, seed=seed)
    data = data_set(write_lists(tmp_path, train="".join(f"{n}.mp4 {n}\n" for n in range(5))))
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        stop_after_two(patch)
        with pytest.raises(KeyboardInterrupt, match="start the same command again to continue"):
            check_dataset(data, out, CREW)
    with (out / PROBED).open("a") as file:
        file.write('["half a li')
    make_video(tmp_path / "0.mp4", num_frames=7, seed=8)  # one of the two, by now another
    check_dataset(data, out, CREW)
    assert "1 of 5 were read before" in caplog.text
    assert not (out / PROBED).exists()

    check_dataset(data, tmp_path / "whole", CREW)
    for path in (tmp_path / "whole").glob("*.*"):
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_door(
    faulty: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    words = [faulty / "train.csv", faulty / "val.csv", "--workers", 1, "--min-frames", 5]
    out = tmp_path / "out"
    assert run_door("check_dataset", *words, "--out", out, monkeypatch=monkeypatch) == 1
    said = caplog.text
    assert "train: 13 clips, 7 of them left out; 1 to 3 clips in each of 3 classes" in said
    assert "Without a training video: c" in said
    assert "Quarantined: too short (1), unreadable (4), missing (1), label outside (1)" in said
    assert "2 contents are in train and val" in said
    assert (out / "report.txt").read_text() in said
    clean = [out / "train.csv", "--workers", 1, "--out", tmp_path / "clean"]
    assert run_door("check_dataset", *clean, monkeypatch=monkeypatch) == 0
    assert "Nothing is quarantined" in caplog.text


def test_lists_are_not_overwritten(faulty: Path, tmp_path: Path) -> None:
    before = files_of(faulty)
    with pytest.raises(UserError, match="holds train.csv of its own: name another --out"):
        check(faulty, faulty)
    assert files_of(faulty) == before
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is no folder and cannot become one"):
        check(faulty, tmp_path / "file")


@needs_shared_data
def test_real_videos(tmp_path: Path) -> None:
    names = [path.name for path in sorted((DATA / "samples").glob("*.*"))]
    lists = write_lists(
        tmp_path / "lists", test="".join(f'"{DATA}/samples/{name}" 0\n' for name in names)
    )
    _, report, reasons = check(lists, tmp_path / "out")
    assert list(reasons) == ["test decord_corrupted.mp4"]
    assert report["misnamed"] == {}
    assert report["videos"]["files"] == len(names) - 1
