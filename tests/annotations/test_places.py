"""What a path may name, read and written, and whether it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from timesformer.annotations.places import (
    FrameRange,
    TarMember,
    exists,
    frame_range,
    natural_order,
    tar_member,
)


@pytest.mark.parametrize(
    ("path", "named", "first", "last"),
    [
        (
            "a/img_[00001-00117].jpg",
            FrameRange("a/img_", 1, 117, 5, ".jpg"),
            "a/img_00001.jpg",
            "a/img_00117.jpg",
        ),
        ("a/[9-10].png", FrameRange("a/", 9, 10, 1, ".png"), "a/9.png", "a/10.png"),
        ("[2]/[0-0].JPG", FrameRange("[2]/", 0, 0, 1, ".JPG"), "[2]/0.JPG", "[2]/0.JPG"),
    ],
)
def test_a_range_of_frames(path: str, named: FrameRange, first: str, last: str) -> None:
    assert frame_range(path) == named
    assert str(named) == path
    assert (named.files()[0], named.files()[-1]) == (first, last)
    assert len(named.files()) == named.last - named.first + 1


@pytest.mark.parametrize(
    "path",
    ["a/b.mp4", "a[1-2].mp4", "folder/a[1-2]", "a[1-2]/b.jpg", "a[x-2].jpg", "a[-2].jpg"],
)
def test_other_paths_are_no_range(path: str) -> None:
    assert frame_range(path) is None


def test_the_natural_order_is_total() -> None:
    for names in (["b1", "a10", "a9", "a09"], ["a09", "a9", "a10", "b1"]):
        assert sorted(names, key=natural_order) == ["a09", "a9", "a10", "b1"]


def test_a_part_of_a_tar() -> None:
    path = "s3/train-000003.tar#a b#c.mp4@1536+48213"
    assert tar_member(path) == TarMember("s3/train-000003.tar", "a b#c.mp4", 1536, 48213)
    assert str(tar_member(path)) == path


@pytest.mark.parametrize("path", ["a.tar", "a.tar#b.mp4", "a.tar#b.mp4@x+1", "a.zip#b.mp4@1+1"])
def test_other_paths_are_no_part_of_a_tar(path: str) -> None:
    assert tar_member(path) is None


def test_what_exists(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames/001.jpg").touch()
    (tmp_path / "x.tar").touch()
    (tmp_path / "odd [1-2].mp4").touch()
    there = ("a.mp4", "frames", "frames/[001-117].jpg", "x.tar#a@0+1", "odd [1-2].mp4")
    absent = ("b.mp4", "frames/[002-117].jpg", "y.tar#a@0+1")
    assert [name for name in there if not exists(str(tmp_path / name))] == []
    assert [name for name in absent if exists(str(tmp_path / name))] == []
    assert exists("https://example.org/a.mp4"), "addresses are not asked"
