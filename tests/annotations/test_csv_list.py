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


# --- class names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "name", "label"),
    [
        ("a.mp4 run", "a.mp4", 2),
        ("b c.mp4, jump high", "b c.mp4", 0),
        ("b c.mp4,jump high", "b c.mp4", 0),
        ("b c.mp4\tjump high", "b c.mp4", 0),
        ('"b, c.mp4","jump high"', "b, c.mp4", 0),
        ("a.mp4 2", "a.mp4", 2),
        ("a.mp4 0", "a.mp4", 0),  # a number is a number, though a class is called so
        ("a.mp4,jump, then run", "a.mp4,jump, then", 2),  # from the right: run is a class
    ],
)
def test_names_of_classes_may_stand_for_numbers(
    tmp_path: Path, line: str, name: str, label: int
) -> None:
    (tmp_path / "classes.txt").write_text("jump high\n0\nrun\n")
    videos = read_video_list(write(tmp_path, line), num_classes=3)
    assert list(videos.paths) == [str(tmp_path / name)]
    assert videos.labels.tolist() == [label]
    assert videos.class_names == ("jump high", "0", "run")
    assert videos.name_of(2) == "run"


def test_a_name_that_is_no_class_is_answered_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("jump\nrunning\n")
    with pytest.raises(
        UserError, match=r"line 2: the label 'runing' is neither .* Did you mean 'running'\?"
    ):
        read_video_list(write(tmp_path, "a.mp4 jump\nb.mp4 runing"))


def test_a_name_beyond_the_classes_of_the_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("jump\nrun\n")
    with pytest.raises(UserError, match=r"line 1: the label 1 is not one of 0 to 0\."):
        read_video_list(write(tmp_path, "a.mp4 run"), num_classes=1)


# --- columns --------------------------------------------------------------------------------------


def test_columns_come_in_any_order_with_times_where_there_are_any(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("jump\nrun\n")
    text = """Label, path ,START,end
run,a.mp4,1.5,3
# a comment
jump,"b, c.mp4",,

0,d e.mp4,,2.25
"""
    videos = read_video_list(write(tmp_path, text), path_prefix="/v", num_classes=2)
    assert list(videos.paths) == ["/v/a.mp4", "/v/b, c.mp4", "/v/d e.mp4"]
    assert videos.labels.tolist() == [1, 0, 0]
    nan = float("nan")
    assert videos.spans is not None
    np.testing.assert_array_equal(videos.spans, [[1.5, 3], [nan, nan], [nan, 2.25]])


def test_a_row_may_end_early(tmp_path: Path) -> None:
    videos = read_video_list(write(tmp_path, "path,label,start,end\na.mp4,0\nb.mp4,0,1\n"))
    assert videos.spans is not None
    np.testing.assert_array_equal(videos.spans, [[np.nan, np.nan], [1, np.nan]])


def test_columns_without_times_have_no_spans(tmp_path: Path) -> None:
    for header in ("path,label", "path,label,start,end"):
        ends = "," * (header.count(",") - 1)
        videos = read_video_list(write(tmp_path, f"{header}\na b.mp4,1{ends}\n"))
        assert list(videos.paths) == [str(tmp_path / "a b.mp4")]
        assert videos.spans is None


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("b.mp4,x,,", r"line 3: the label 'x' is not an integer"),
        ("b.mp4,9,,", r"line 3: the label 9 is not one of 0 to 3"),
        ("b.mp4,0,,,5", r"line 3: this is not a line of 4 columns"),
        (",0,,", r"line 3: this is not a line of 4 columns"),
        ("b.mp4,,1,2", r"line 3: this is not a line of 4 columns"),
        ("b.mp4,0,one,2", r"line 3: start 'one' and end '2' must be seconds"),
        ("b.mp4,0,2,2", r"line 3: start '2' and end '2': a clip must"),
        ("b.mp4,0,-1,2", r"line 3: start '-1' and end '2'"),
        ("b.mp4,0,,0", r"line 3: start '' and end '0'"),
        ("b.mp4,0,1,inf", r"line 3: start '1' and end 'inf'"),
        ("b.mp4,0,1e300,", r"line 3: start '1e300' and end ''"),
        ('"b.mp4,0', r"line 3: this is no line of a csv .* Look for a quote"),
        ('"b.mp4,0\n"c.mp4",1', r"line 3: this is no line of a csv"),
        ('"b.mp4,0' + "\nc.mp4,1,," * 20_000, r"line 3: this is no line of a csv .*131072"),
    ],
)
def test_a_bad_row_is_answered_with_file_and_line(tmp_path: Path, line: str, answer: str) -> None:
    path = write(tmp_path, f"path,label,start,end\na.mp4,0,,\n{line}\n")
    with pytest.raises(UserError, match=r"train\.csv, " + answer):
        read_video_list(path, num_classes=4)


def test_a_header_alone_and_an_unknown_column_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lists no videos: there is nothing below its header"):
        read_video_list(write(tmp_path, "path,label\n"))
    with pytest.raises(UserError, match=r"unknown columns fps, width; a list has the columns"):
        read_video_list(write(tmp_path, "path,label,width,fps\na.mp4,0,1,2\n"))
