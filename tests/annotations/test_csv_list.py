"""Lists of videos: every form of line that is promised, and a sentence for every mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from timesformer.annotations.csv_list import read_video_list
from timesformer.annotations.subset import check_first_exists
from timesformer.annotations.table import VideoList
from timesformer.errors import UserError


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "train.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("line", "name", "label"),
    [
        ("a.mp4 3", "a.mp4", 3),
        ("a.mp4,3", "a.mp4", 3),
        ("a.mp4\t3", "a.mp4", 3),
        ("a.mp4 , 3", "a.mp4", 3),
        ("  a.mp4   3  ", "a.mp4", 3),
        ("playing a violin/b c.mp4 3", "playing a violin/b c.mp4", 3),
        ("b c.mp4,3", "b c.mp4", 3),
        ("b c.mp4\t3", "b c.mp4", 3),
        ("b,c.mp4 3", "b,c.mp4", 3),
        ("b,c.mp4,3", "b,c.mp4", 3),
        ("clip 7 3", "clip 7", 3),
        ('"b c.mp4",3', "b c.mp4", 3),
        ('"b c.mp4" 3', "b c.mp4", 3),
        ('"b ""c"".mp4","3"', 'b "c".mp4', 3),
        ('b "c".mp4 3', 'b "c".mp4', 3),
        ("Füße.mp4 0", "Füße.mp4", 0),
    ],
)
def test_a_line_gives_path_and_label(tmp_path: Path, line: str, name: str, label: int) -> None:
    videos = read_video_list(write(tmp_path, line), num_classes=4)
    assert list(videos.paths) == [str(tmp_path / name)]
    assert videos.labels.tolist() == [label]


def test_lines_may_differ_in_separator_and_stay_in_order(tmp_path: Path) -> None:
    videos = read_video_list(write(tmp_path, "c.mp4 2\na.mp4,0\n\n# b.mp4 9\nb.mp4\t1"))
    assert [Path(path).name for path in videos.paths] == ["c.mp4", "a.mp4", "b.mp4"]
    assert videos.labels.dtype == np.int64
    assert videos.labels.tolist() == [2, 0, 1]
    assert len(videos) == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_byte_order_mark_and_line_ends_are_not_part_of_a_path(
    tmp_path: Path, encoding: str, newline: str
) -> None:
    videos = read_video_list(write(tmp_path, newline.join(["a.mp4 1", "b.mp4 0", ""]), encoding))
    assert list(videos.paths) == [str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]
    assert videos.labels.tolist() == [1, 0]


def test_prefix_replaces_the_folder_of_the_csv_but_not_absolute_paths(tmp_path: Path) -> None:
    csv = write(tmp_path, "a.mp4 1\n/videos/b.mp4 0")
    assert list(read_video_list(csv, path_prefix="/data").paths) == ["/data/a.mp4", "/videos/b.mp4"]
    assert list(read_video_list(csv).paths) == [str(tmp_path / "a.mp4"), "/videos/b.mp4"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.mp4", r"line 2: 'a\.mp4' has no label"),
        ("a.mp4,", r"line 2: 'a\.mp4,' has no label"),
        ('"a b.mp4 3', r"line 2: '\"a b\.mp4 3' has no label"),
        ("path,label", r"line 2: the label 'label' is not an integer"),
        ("a.mp4 1.0", r"line 2: the label '1\.0' is not an integer"),
        ("a.mp4 -1", r"line 2: the label -1 is not one of 0 to 3\. .*MODEL\.NUM_CLASSES"),
        ("a.mp4 4", r"line 2: the label 4 is not one of 0 to 3\. .*MODEL\.NUM_CLASSES"),
    ],
)
def test_a_bad_line_is_answered_with_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UserError, match=r"train\.csv, " + message):
        read_video_list(write(tmp_path, f"ok.mp4 0\n{line}\n"), num_classes=4)


def test_without_num_classes_only_negative_labels_are_refused(tmp_path: Path) -> None:
    assert read_video_list(write(tmp_path, "a.mp4 4000")).labels.tolist() == [4000]
    with pytest.raises(UserError, match="0 or more"):
        read_video_list(write(tmp_path, "a.mp4 -1"))


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n"])
def test_a_csv_without_videos_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"train\.csv lists no videos"):
        read_video_list(write(tmp_path, text))


def test_a_missing_csv_names_the_key_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "test.csv").touch()
    with pytest.raises(
        UserError, match=r"DATA\.PATH_TO_DATA_DIR .* does not hold val\.csv; .*there: test\.csv"
    ):
        read_video_list(tmp_path / "val.csv")
    with pytest.raises(UserError, match=r"DATA\.PATH_TO_DATA_DIR '.*nowhere' is not a folder"):
        read_video_list(tmp_path / "nowhere" / "val.csv")


def test_a_csv_that_is_not_text_or_not_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not UTF-8 text"):
        read_video_list(write(tmp_path, "a.mp4 1", encoding="utf-16"))
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_video_list(tmp_path)


def test_one_existing_video_of_the_first_ten_is_enough(tmp_path: Path) -> None:
    (tmp_path / "9.mp4").touch()
    lines = "\n".join(f"{index}.mp4 0" for index in range(20))
    check_first_exists(read_video_list(write(tmp_path, lines)))


def test_no_existing_video_points_at_the_prefix() -> None:
    videos = VideoList(["/nowhere/a.mp4", "/nowhere/b.mp4"], np.zeros(2, np.int64), "train.csv")
    with pytest.raises(
        UserError, match=r"first 2 videos of train\.csv .*'/nowhere/a\.mp4'.*DATA\.PATH_PREFIX"
    ):
        check_first_exists(videos)
