"""Names of what is made: below the shared folder, and each once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from timesformer.annotations.table import VideoList
from timesformer.preparation.clips import (
    Clip,
    clips_of,
    contents,
    distinct,
    is_listable,
    name_outputs,
    size_of,
    stamp,
)

NAMES = {
    "below what they share": (
        ["/data/ucf/Archery/a.avi", "/data/ucf/Punch/b.avi"],
        ["Archery/a.mp4", "Punch/b.mp4"],
    ),
    "one folder": (["/data/a.avi", "/data/b.webm"], ["a.mp4", "b.mp4"]),
    "same stem": (
        ["/data/a.avi", "/data/a.mkv", "/data/a.mp4"],
        ["a.mp4", "a-2.mp4", "a-3.mp4"],
    ),
    "folders of frames": (["/data/v_1", "/data/v.2"], ["v_1.mp4", "v.2.mp4"]),
    "range of frames": (["/data/v/img_[0001-0050].jpg"], ["img_0001-0050.mp4"]),
    "parts of a tar": (["/data/t-0.tar#x/a.avi@512+99", "/data/b.avi"], ["t-0/x/a.mp4", "b.mp4"]),
    "addresses": (
        ["s3://b/t-0.tar#x/a.avi@512+99", "s3://b/t-1.tar#x/a.avi@512+99"],
        ["t-0/x/a.mp4", "t-1/x/a.mp4"],
    ),
    "addresses beside files": (["https://h/a.avi", "/d/a.avi"], ["h/a.mp4", "d/a.mp4"]),
    "what no line can hold": (["/data/a\nb\udc80.avi", "/data/ c .avi"], ["a_b_.mp4", "c.mp4"]),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_of_videos(case: str) -> None:
    paths, names = NAMES[case]
    clips = [Clip(path) for path in paths]
    assert name_outputs(clips, ".mp4") == dict(zip(clips, names, strict=True))
    assert name_outputs(clips[::-1], ".mp4") == name_outputs(clips, ".mp4")


def test_names_of_spans() -> None:
    clips = [Clip("/d/a.mp4", 1.5, 12.25), Clip("/d/a.mp4", None, 3.0), Clip("/d/a.mp4", 3.0)]
    assert list(name_outputs(clips, ".mp4").values()) == [
        "a_000000.000-000003.000.mp4",
        "a_000001.500-000012.250.mp4",
        "a_000003.000-end.mp4",
    ]


def test_a_folder_of_frames_holds_no_other() -> None:
    clips = [Clip("/d/a.avi"), Clip("/d/a/b.avi")]
    assert sorted(name_outputs(clips, "").values()) == ["a-2", "a/b"]


def test_spans_are_clips_of_their_own() -> None:
    spans = np.array([[0, 2], [2, np.nan], [0, 2], [np.nan, np.nan]])
    videos = VideoList(["a.mp4"] * 4, np.zeros(4, np.int64), "list", spans=spans)
    clips = clips_of(videos)
    path = str(Path("a.mp4").absolute())
    assert clips == [Clip(path, 0, 2), Clip(path, 2), Clip(path, 0, 2), Clip(path)]
    assert distinct({"train": clips, "val": clips[:1]}) == [clips[0], clips[1], clips[3]]


def test_addresses_stay_as_they_are() -> None:
    paths = ["s3://b/t.tar#a.avi@512+99", "file:///d/a.mp4", "memory://a.mp4"]
    for spans in (None, np.full((3, 2), np.nan)):
        videos = VideoList(paths, np.zeros(3, np.int64), "list", spans=spans)
        assert [clip.path for clip in clips_of(videos)] == paths
    assert stamp(paths[0]) == []


@pytest.mark.parametrize("name", ["a\nb.mp4", "a\x1b.mp4", "a\udcff.mp4", "a.mp4 "])
def test_names_that_no_list_can_hold(name: str) -> None:
    assert not is_listable(f"/d/{name}")
    assert is_listable("/d /#ü \"b', [1-2].mp4")


def test_bytes_of_files_folders_and_parts(tmp_path: Path) -> None:
    file, tar = tmp_path / "a.mp4", tmp_path / "t.tar"
    file.write_bytes(b"x" * 3_000_000)
    tar.touch()
    (tmp_path / "f").mkdir()
    for number in range(1, 4):
        (tmp_path / "f" / f"{number}.jpg").write_bytes(str(number).encode() * number)
    wanted = {
        str(file): b"x" * 3_000_000,
        str(tmp_path / "f"): b"122333",
        str(tmp_path / "f" / "[2-3].jpg"): b"22333",
    }
    for path, content in wanted.items():
        assert b"".join(contents(path)) == content
        assert size_of(path) == len(content)
        assert len(stamp(path)) == 2
    assert size_of(f"{tar}#v.mp4@3+4") == 4
    assert len(stamp(f"{tar}#v.mp4@3+4")) == 2
    assert stamp(str(tmp_path / "missing.mp4")) == []
    before = stamp(str(file))
    file.write_bytes(b"y")
    assert stamp(str(file)) != before
