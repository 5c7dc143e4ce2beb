"""PySlowFast's frame lists: ranges where frames are numbered in a row, else folders."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from timesformer.annotations.frame_list import is_frame_list, read_frame_list
from timesformer.annotations.places import frame_range
from timesformer.errors import UserError

HEADER = "original_vido_id video_id frame_id path labels"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "train.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def lines_of(video: str, *frames: str) -> list[str]:
    return [f'{video} 0 {place} {frame} ""' for place, frame in enumerate(frames)]


@pytest.mark.parametrize(
    ("frames", "place"),
    [
        (["7/7_000001.jpg", "7/7_000002.jpg"], "7/7_[000001-000002].jpg"),
        (["7/img_9.jpg", "7/img_10.jpg"], "7/img_[9-10].jpg"),
        (["a7/00099.png"], "a7/[00099-00099].png"),
        (["7/2_000001.jpg", "7/2_000003.jpg"], "7"),  # every other frame
        (["7/000002.jpg", "7/000001.jpg"], "7"),
        (["7/a.jpg", "7/b.jpg"], "7"),
        (["v1/x.jpg", "v1/y.jpg"], "v1"),  # the number is not in the name
    ],
)
def test_the_place_of_a_videos_frames(tmp_path: Path, frames: list[str], place: str) -> None:
    assert read_frame_list(write(tmp_path, *lines_of("7", *frames))) == {"7": place}
    if (named := frame_range(place)) is not None:
        assert named.files() == frames


def test_videos_follow_each_other(tmp_path: Path) -> None:
    path = write(
        tmp_path, *lines_of("10", "10/1.jpg", "10/2.jpg"), "", *lines_of("9", "9/1.jpg", "9/2.jpg")
    )
    assert is_frame_list(path)
    assert read_frame_list(path) == {"10": "10/[1-2].jpg", "9": "9/[1-2].jpg"}


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    path = write(tmp_path, *lines_of("7", "7/1.jpg"))
    path.write_bytes(path.read_text().encode("utf-8-sig"))
    assert is_frame_list(path)
    assert read_frame_list(path) == {"7": "7/[1-1].jpg"}


def test_frames_that_are_not_in_a_row_are_spoken_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "timesformer"):
        read_frame_list(write(tmp_path, *lines_of("7", "7/1.jpg", "7/3.jpg")))
    assert "1 videos of" in caplog.text
    assert "not numbered in a row" in caplog.text


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (
            lines_of("7", "7/1.jpg", "8/2.jpg"),
            r"line 2: video 7 has frames in 2 folders, .* 7 and 8",
        ),
        (
            [*lines_of("7", "7/1.jpg"), *lines_of("8", "8/1.jpg"), *lines_of("7", "7/2.jpg")],
            r"line 4: video 7 came up before",
        ),
        ([*lines_of("7", "7/1.jpg"), "", "7 0 1"], r"line 4 has not the columns of the header"),
        ([], r"lists no frames"),
    ],
)
def test_a_bad_list_is_answered_with_its_place(
    tmp_path: Path, lines: list[str], answer: str
) -> None:
    with pytest.raises(UserError, match=r"train\.csv.*" + answer):
        read_frame_list(write(tmp_path, *lines))


def test_other_files_are_no_frame_lists(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    for text in ("", "a.mp4 0\n", "path,label\n"):
        path.write_text(text)
        assert not is_frame_list(path)
