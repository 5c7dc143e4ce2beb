"""Kinetics: official csv files, clips and whole videos, ids for paths, the order of classes."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from tests.shared_data import DATA, needs_shared_data
from timesformer.annotations.kinetics import read_kinetics, read_named_list
from timesformer.errors import UserError

HEADER = "label,youtube_id,time_start,time_end,split,is_cc"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_clip_is_found_before_its_whole_video_which_gets_a_span(tmp_path: Path) -> None:
    write(
        tmp_path / "train.csv",
        HEADER,
        "run,aaa,5,15,train,0",
        '"jump, high",bbb,7,17.0,train,0',
        "",
        "run,ccc,0,10,train,1",
    )
    touch(tmp_path, "v/run/aaa_000005_000015.mkv", "v/whole/aaa.mp4", "v/bbb.webm", "v/x.txt")
    videos = read_kinetics(tmp_path, "train", path_prefix=str(tmp_path / "v"), num_classes=2)
    assert list(videos.paths) == [
        str(tmp_path / "v/run/aaa_000005_000015.mkv"),
        str(tmp_path / "v/bbb.webm"),
        str(tmp_path / "v/ccc_000000_000010.mp4"),  # nowhere, and so it is reported
    ]
    assert videos.labels.tolist() == [1, 0, 1]
    assert videos.class_names == ("jump, high", "run")
    assert videos.spans is not None
    np.testing.assert_array_equal(videos.spans, [[np.nan] * 2, [7, 17], [np.nan] * 2])


def test_clips_alone_have_no_spans(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", HEADER, "run,aaa,5,15,train,0")
    touch(tmp_path, "aaa_000005_000015.mp4", "aaa_000007_000017.mp4")
    videos = read_kinetics(tmp_path, "train")
    assert list(videos.paths) == [str(tmp_path / "aaa_000005_000015.mp4")]
    assert videos.spans is None


def test_another_clip_of_the_same_video_is_not_taken(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", HEADER, "run,aaa,5,15,train,0")
    touch(tmp_path, "aaa_000006_000016.mp4")
    assert [Path(path).name for path in read_kinetics(tmp_path, "train").paths] == [
        "aaa_000005_000015.mp4"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "val.csv",
        "validate.csv",
        "kinetics_val.csv",
        "kinetics-400_validate.csv",
        "kinetics700_2020_validate.csv",
    ],
)
def test_the_usual_names_of_the_validation_list(tmp_path: Path, name: str) -> None:
    write(tmp_path / "train.csv", HEADER, "run,a,0,10,train,0", "jump,b,0,10,train,0")
    write(tmp_path / name, HEADER, "run,c,0,10,val,0")
    touch(tmp_path, "c.mp4")
    videos = read_kinetics(tmp_path, "val", num_classes=2)
    assert videos.labels.tolist() == [1], "numbered by the classes of the training list"
    assert videos.source == str(tmp_path / name)


def test_classes_beside_the_list_give_the_order(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", HEADER, "run,a,0,10,train,0", "jump,b,0,10,train,0")
    write(tmp_path / "classes.txt", "run", "jump", "walk")
    videos = read_kinetics(tmp_path, "train", num_classes=3)
    assert videos.labels.tolist() == [0, 1]
    assert videos.class_names == ("run", "jump", "walk")


def test_another_number_of_classes_asks_for_their_names(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", HEADER, "run,a,0,10,train,0", "jump,b,0,10,train,0")
    with pytest.raises(
        UserError,
        match=r"train\.csv names 2 classes, but MODEL\.NUM_CLASSES is 400\. .*classes\.txt beside "
        r"train\.csv: .*order",
    ):
        read_kinetics(tmp_path, "train", num_classes=400)


def test_a_validation_list_alone_needs_the_names(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "a.mp4 0")  # of this framework: it names no classes
    write(tmp_path / "val.csv", HEADER, "run,a,0,10,val,0")
    with pytest.raises(UserError, match=r"train\.csv names 0 classes.*put classes\.txt"):
        read_kinetics(tmp_path, "val", num_classes=2)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("ran,b,0,10,train,0", r"line 3: 'ran' is not one of the 2 classes .*Did you mean 'run'"),
        ("run,b,0,10,train", r"line 3: this is not a line of label, youtube_id"),
        ("run,,0,10,train,0", r"line 3: this is not a line of label, youtube_id"),
        ("run,b,0,ten,train,0", r"line 3: time_start '0' and end 'ten' must be seconds"),
        ("run,b,10,5,train,0", r"line 3: time_start '10' and end '5': a clip must"),
        ("run,b,0,inf,train,0", r"line 3: time_start '0' and end 'inf'"),
        ('"run,b,0,9,train,0', r"line 3: this is no line of a csv"),
        (",b,0,10,train,0", r"line 3: there is no label, so val\.csv cannot be scored"),
    ],
)
def test_a_bad_line_is_answered_with_file_and_line(tmp_path: Path, line: str, answer: str) -> None:
    write(tmp_path / "classes.txt", "run", "jump")
    write(tmp_path / "val.csv", HEADER, "run,a,0,10,train,0", line)
    with pytest.raises(UserError, match=r"val\.csv, " + answer):
        read_kinetics(tmp_path, "val", num_classes=2)


def test_a_list_may_have_all_its_words_in_quotes(tmp_path: Path) -> None:
    header = '"label","youtube_id","time_start","time_end"'
    write(tmp_path / "train.csv", header, '"run","a","1","2"')
    videos = read_kinetics(tmp_path, "train", num_classes=1)
    assert (videos.class_names, videos.labels.tolist()) == (("run",), [0])


def test_a_test_list_without_labels_is_explained(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", HEADER, "run,a,0,10,train,0")
    write(tmp_path / "test.csv", "youtube_id,time_start,time_end,split", "x,0,10,test")
    with pytest.raises(UserError, match=r"test\.csv has no column 'label'.*DATA\.TEST_SPLIT val"):
        read_kinetics(tmp_path, "test", num_classes=1)


def test_a_missing_list_is_answered_as_for_any_other(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "a.mp4 0")
    with pytest.raises(UserError, match=r"does not hold val\.csv; csv files there: train\.csv"):
        read_kinetics(tmp_path, "val")


def test_ids_are_found_by_name_and_exact_names_first(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "-a 0", "-b.mp4 1", "c_000001_000011 1", "-d 0")
    touch(tmp_path, "x/-a_000010_000020.mp4", "y/-b.webm", "z/c_000001_000011.mp4", "-e.mp4")
    videos = read_named_list(tmp_path / "train.csv")
    assert list(videos.paths) == [
        str(tmp_path / name)
        for name in ("x/-a_000010_000020.mp4", "y/-b.webm", "z/c_000001_000011.mp4", "-d")
    ]
    assert videos.labels.tolist() == [0, 1, 1, 0]


def test_a_path_with_a_folder_is_not_looked_for_by_its_name(tmp_path: Path) -> None:
    lines = [f"gone/{number}.mp4 0" for number in range(10)]
    write(tmp_path / "train.csv", *lines, "run/001.mp4 1", "/else/001.mp4 1", "001 0")
    touch(tmp_path / "v", "jump/001.mp4", "run/001.mp4")
    for prefix in (str(tmp_path / "v"), f"{tmp_path / 'v'}/"):
        videos = read_named_list(tmp_path / "train.csv", path_prefix=prefix)
        listed = ("run/001.mp4", "/else/001.mp4", "jump/001.mp4")
        assert videos.paths[10:] == [str(tmp_path / "v" / name) for name in listed]


def test_paths_that_exist_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "a.mp4 0", "b 1")
    touch(tmp_path, "a.mp4", "x/b.mp4")
    assert list(read_named_list(tmp_path / "train.csv").paths) == [
        str(tmp_path / "a.mp4"),
        str(tmp_path / "b"),
    ]


@needs_shared_data
@pytest.mark.parametrize("classes", [400, 600, 700])
def test_sorted_names_are_the_published_order(tmp_path: Path, classes: int) -> None:
    names = (DATA / f"annotations/kinetics/label_map_k{classes}.txt").read_text().splitlines()
    shuffled = random.Random(0).sample(names, len(names))
    lines = [f'"{name}",id{place},0,10,train,0' for place, name in enumerate(shuffled)]
    write(tmp_path / "train.csv", HEADER, *lines)
    videos = read_kinetics(tmp_path, "train", num_classes=classes)
    assert list(videos.class_names) == names
    assert [names[label] for label in videos.labels] == shuffled
