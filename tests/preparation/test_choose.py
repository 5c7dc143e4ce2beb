"""The words of a command: names, csv files, keys, and mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.preparation.made import HOW, make_video, write_lists
from timesformer.errors import UserError
from timesformer.preparation.choose import choose
from timesformer.preparation.encode import VideoSettings
from timesformer.preparation.produce import prepare_dataset

ALL = "train,val,test"


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    make_video(tmp_path / "a.mp4", num_frames=2)
    return write_lists(tmp_path, train="a.mp4 0\na.mp4 700\n", val="a.mp4 1\n")


def test_a_name_and_keys(lists: Path) -> None:
    words = ["video_csv", "DATA.PATH_TO_DATA_DIR", str(lists), "DATA.FRAMES_FPS", "12"]
    data = choose(words, None, "val,train")
    assert list(data.lists) == ["val", "train"]
    assert list(data.lists["train"].labels) == [0, 700]
    assert (data.num_classes, data.frames_fps, data.name) == (None, 12.0, "video_csv")
    assert choose([*words, "MODEL.NUM_CLASSES", "9"], None, "val").num_classes == 9


def test_a_config_names_the_data_set(lists: Path, tmp_path: Path) -> None:
    config = tmp_path / "a.yaml"
    config.write_text("TRAIN: {DATASET: video_csv}\nMODEL: {NUM_CLASSES: 5}\n")
    data = choose(["DATA.PATH_TO_DATA_DIR", str(lists)], str(config), "train")
    assert (list(data.lists), data.num_classes) == (["train"], 5)


def test_videos_are_prepared_once_whatever_directions_are_trained_on(lists: Path) -> None:
    words = ["video_csv", "DATA.PATH_TO_DATA_DIR", str(lists), "DATA.ARROW_OF_TIME", "True"]
    data = choose([*words, "MODEL.NUM_CLASSES", "2"], None, "train")
    assert list(data.lists["train"].labels) == [0, 700]
    assert (data.num_classes, data.lists["train"].backward) == (None, None)


def test_a_published_data_set_needs_no_number_of_classes(tmp_path: Path) -> None:
    for name in ("Punch", "Archery"):
        make_video(tmp_path / name / f"v_{name}_g01_c01.avi", num_frames=2, codec="mpeg4")
    (tmp_path / "classInd.txt").write_text("1 Archery\n2 Punch\n")
    (tmp_path / "trainlist01.txt").write_text("Punch/v_Punch_g01_c01.avi 2\n")
    (tmp_path / "testlist01.txt").write_text("Archery/v_Archery_g01_c01.avi\n")
    data = choose(["ucf101", "DATA.PATH_TO_DATA_DIR", str(tmp_path)], None, "train,test")
    assert {split: list(videos.labels) for split, videos in data.lists.items()} == {
        "train": [1],
        "test": [0],
    }
    assert (data.num_classes, data.class_names) == (2, ("Archery", "Punch"))
    assert data.name == "ucf101"
    prepare_dataset(data, tmp_path / "out", VideoSettings(), HOW)
    again = choose(["ucf101", "DATA.PATH_TO_DATA_DIR", str(tmp_path / "out")], None, "train,test")
    assert list(again.lists["train"].labels) == [1]
    assert again.lists["train"].paths[0] == str(tmp_path / "out" / "Punch" / "v_Punch_g01_c01.mp4")


def test_csv_files(lists: Path) -> None:
    words = [str(lists / "train.csv"), str(lists / "val.csv")]
    data = choose(words, None, ALL)
    assert (list(data.lists), data.num_classes, data.class_names) == (["train", "val"], None, ())
    (lists / "classes.txt").write_text("up\ndown\n")
    data = choose([*words, "DATA.PATH_PREFIX", "/videos"], None, ALL)
    assert (data.num_classes, data.class_names) == (2, ("up", "down"))
    assert data.lists["val"].paths[0] == "/videos/a.mp4"


@pytest.mark.parametrize(
    ("words", "splits", "sentence"),
    [
        ([], ALL, "names no data set: give the name of one"),
        (["ucf101", "hmdb51"], ALL, "'ucf101 hmdb51' names no data set"),
        (["ucf102"], ALL, "ucf102"),
        (["missing.csv"], ALL, "there is no list 'missing.csv'"),
        (["{}/train.csv", "{}/b/train.csv"], ALL, "two of the lists are named train.csv"),
        (["video_csv", "DATA.PTH", "x"], ALL, "DATA.PTH is not a config key"),
        (["video_csv", "DATA.PATH_TO_DATA_DIR"], ALL, "has no partner"),
        (["video_csv", "DATA.PATH_TO_DATA_DIR", "{}"], ALL, "does not hold test.csv"),
        (["{}/train.csv"], "train,best", "--splits is 'train,best'; it must be some of train,val"),
        (["{}/train.csv"], "", "--splits is ''"),
    ],
)
def test_mistakes(words: list[str], splits: str, sentence: str, lists: Path) -> None:
    write_lists(lists / "b", train="a.mp4 0\n")
    with pytest.raises(UserError, match=sentence):
        choose([word.format(lists) for word in words], None, splits)
