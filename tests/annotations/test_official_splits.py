"""Jester, Diving48, UCF101 and HMDB51: labels, splits, and a sentence for every mistake."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.shared_data import DATA, needs_shared_data
from timesformer.annotations.diving48 import read_diving48
from timesformer.annotations.hmdb51 import read_hmdb51
from timesformer.annotations.jester import read_jester
from timesformer.annotations.ucf101 import read_ucf101
from timesformer.errors import UserError


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def names_of(paths: object) -> list[str]:
    return [Path(path).name for path in paths]  # type: ignore[attr-defined]


# --- Jester ---------------------------------------------------------------------------------------


def test_jester_reads_any_prefix_and_none(tmp_path: Path) -> None:
    for prefix in ("jester-v1-", "something-something-v1-", "labels/"):
        root = tmp_path / prefix.strip("/")
        write(root / f"{prefix}labels.csv", "Stop Sign", "No gesture")
        write(root / f"{prefix}train.csv", "12;No gesture", "7;Stop Sign")
        write(root / f"{prefix}validation.csv", "9;Stop Sign")
        write(root / f"{prefix}test-answers.csv", "3;No gesture")
        (root / "frames/12").mkdir(parents=True)
        videos = read_jester(root, "train", path_prefix=str(root / "frames"))
        assert videos.labels.tolist() == [1, 0]
        assert names_of(videos.paths) == ["12", "7"]
        assert read_jester(root, "val").labels.tolist() == [0]
        assert read_jester(root, "test").labels.tolist() == [1]


def test_jester_without_the_answers_of_the_test(tmp_path: Path) -> None:
    write(tmp_path / "jester-v1-labels.csv", "Stop Sign")
    write(tmp_path / "jester-v1-test.csv", "12")
    with pytest.raises(UserError, match=r"does not hold \*-test-answers\.csv or test-answers\.csv"):
        read_jester(tmp_path, "test")


# --- Diving48 -------------------------------------------------------------------------------------


def dive(name: object, label: object) -> dict[str, object]:
    return {"vid_name": name, "label": label, "start_frame": 0, "end_frame": 100}


def test_diving48_takes_numbers_and_text(tmp_path: Path) -> None:
    write(tmp_path / "Diving48_V2_train.json", json.dumps([dive("a_00001", 5), dive(12, "47")]))
    write(tmp_path / "Diving48_V2_test.json", json.dumps([dive("b", 0)]))
    (tmp_path / "a_00001.mp4").touch()
    videos = read_diving48(tmp_path, "train")
    assert videos.labels.tolist() == [5, 47]
    assert names_of(videos.paths) == ["a_00001.mp4", "12"]
    assert videos.class_names[47] == "47", "without a vocabulary"
    assert read_diving48(tmp_path, "val").source == read_diving48(tmp_path, "test").source


@pytest.mark.parametrize("label", [48, -1, "x", 1.5])
def test_diving48_labels_are_48(tmp_path: Path, label: object) -> None:
    write(tmp_path / "Diving48_V2_train.json", json.dumps([dive("a", 1), dive("b", label)]))
    with pytest.raises(
        UserError, match=rf"train\.json, entry 2: the label '{label}' is not one of 0 to 47"
    ):
        read_diving48(tmp_path, "train")


def test_diving48_refuses_a_vocabulary_of_another_size(tmp_path: Path) -> None:
    write(tmp_path / "Diving48_V2_train.json", json.dumps([dive("a", 1)]))
    write(tmp_path / "Diving48_vocab.json", json.dumps([["Back", "1som", "NoTwis", "PIKE"]]))
    with pytest.raises(UserError, match=r"vocab\.json must be a list of 48 dives"):
        read_diving48(tmp_path, "train")


@needs_shared_data
def test_diving48_names_are_the_usual_ones(tmp_path: Path) -> None:
    names = (DATA / "annotations/diving48/label_map.txt").read_text().split()
    vocab = [name.split("+") for name in names]
    assert {len(dive) for dive in vocab} == {4}
    write(tmp_path / "Diving48_V2_train.json", json.dumps([dive("a", 1)]))
    write(tmp_path / "Diving48_vocab.json", json.dumps(vocab))
    assert list(read_diving48(tmp_path, "train").class_names) == names


# --- UCF101 ---------------------------------------------------------------------------------------


@pytest.fixture
def ucf(tmp_path: Path) -> Path:
    write(tmp_path / "classInd.txt", "1 Archery", "2 HandstandPushups", "", end="\r\n")
    return tmp_path


def test_ucf101_labels_count_from_one_in_training_and_are_folders_in_the_test(ucf: Path) -> None:
    write(ucf / "trainlist03.txt", "HandstandPushups/v_HandStandPushups_g08_c01.avi 2", end="\r\n")
    write(ucf / "testlist03.txt", "Archery/v 1.avi", "handstandpushups/v_b.mp4", "", end="\r\n")
    train, test = (read_ucf101(ucf, split, number=3) for split in ("train", "test"))
    assert train.labels.tolist() == [1]
    assert test.labels.tolist() == [0, 1]
    assert names_of(test.paths) == ["v 1.avi", "v_b.mp4"]
    assert test.class_names == ("Archery", "HandstandPushups")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("Archery/v.avi 2", r"line 2: the class 2 is not that of the folder Archery, which is 1"),
        ("Archery/v.avi 0", r"line 2: the class 0 is not that of the folder Archery"),
        ("Archary/v.avi 1", r"line 2: 'archary' is not one of the 2 classes of .*classInd\.txt"),
        ("v.avi 1", r"line 2: 'v\.avi' is not one of the 2 classes"),
    ],
)
def test_ucf101_answers_a_bad_line(ucf: Path, line: str, answer: str) -> None:
    write(ucf / "trainlist01.txt", "Archery/v.avi 1", line)
    with pytest.raises(UserError, match=r"trainlist01\.txt, " + answer):
        read_ucf101(ucf, "train")


def test_ucf101_answers_what_is_missing(ucf: Path) -> None:
    with pytest.raises(UserError, match=r"does not hold trainlist02\.txt\. It holds classInd\.txt"):
        read_ucf101(ucf, "train", number=2)
    write(ucf / "trainlist02.txt", "")
    with pytest.raises(UserError, match=r"trainlist02\.txt lists no videos"):
        read_ucf101(ucf, "train", number=2)
    write(ucf / "classInd.txt", "1 Archery", "3 Biking")
    with pytest.raises(UserError, match=r"classInd\.txt, line 2: '3 Biking' .* should be 2"):
        read_ucf101(ucf, "train", number=2)


@needs_shared_data
@pytest.mark.parametrize(
    ("number", "num_train", "num_test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)]
)
def test_the_real_lists_of_ucf101(number: int, num_train: int, num_test: int) -> None:
    folder = DATA / "annotations/ucf101"
    train, test = (read_ucf101(folder, split, number=number) for split in ("train", "test"))
    assert (len(train), len(test)) == (num_train, num_test)
    assert len(train) + len(test) == 13320, "each video is in one of the two"
    assert not set(train.paths) & set(test.paths)
    for videos in (train, test):
        assert set(videos.labels.tolist()) == set(range(101))
        folders = [Path(path).parent.name for path in videos.paths]
        assert folders == [videos.class_names[label] for label in videos.labels]


# --- HMDB51 ---------------------------------------------------------------------------------------


def test_hmdb51_marks_and_classes(tmp_path: Path) -> None:
    splits = tmp_path / "testTrainMulti_7030_splits"
    write(splits / "kick_test_split1.txt", "a b.avi 1 ", "c.avi 2 ", "d.avi 0 ")
    write(splits / "kick_ball_test_split1.txt", "a;b.avi 1 ", "")
    write(splits / "kick_test_split2.txt", "c.avi 1 ")
    for folder in (tmp_path, splits):
        train = read_hmdb51(folder, "train", path_prefix=str(tmp_path))
        assert list(train.paths) == [
            str(tmp_path / "kick/a b.avi"),
            str(tmp_path / "kick_ball/a;b.avi"),
        ]
        assert train.labels.tolist() == [0, 1]
        assert train.class_names == ("kick", "kick_ball")
    for split in ("val", "test"):
        assert names_of(read_hmdb51(tmp_path, split).paths) == ["c.avi"]
    assert names_of(read_hmdb51(tmp_path, "train", number=2).paths) == ["c.avi"]


@pytest.mark.parametrize("line", ["a.avi", "a.avi 3", "a.avi x", "1"])
def test_hmdb51_answers_a_bad_line(tmp_path: Path, line: str) -> None:
    write(tmp_path / "kick_test_split1.txt", "b.avi 1", line)
    with pytest.raises(UserError, match=rf"kick_test_split1\.txt, line 2: '{line}' is not a file"):
        read_hmdb51(tmp_path, "train")


def test_hmdb51_answers_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no list <class>_test_split3\.txt"):
        read_hmdb51(tmp_path, "train", number=3)
    write(tmp_path / "kick_test_split3.txt", "b.avi 1")
    with pytest.raises(UserError, match=r"marks no video for the split 'test'"):
        read_hmdb51(tmp_path, "test", number=3)


@needs_shared_data
def test_hmdb51_classes_are_in_the_usual_order(tmp_path: Path) -> None:
    names = (DATA / "annotations/hmdb51/hmdb51_label_map.txt").read_text().split()
    for name in names:
        write(tmp_path / f"{name}_test_split1.txt", f"{name}.avi 1")
    videos = read_hmdb51(tmp_path, "train")
    assert list(videos.class_names) == names
    assert Counter(videos.labels.tolist()) == dict.fromkeys(range(51), 1)
