"""Something-Something V2: templates to numbers, frame lists, and the videos that they lack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.shared_data import DATA, needs_shared_data
from timesformer.annotations.something import read_something
from timesformer.errors import UserError

LABELS = {"Holding something": "0", "Putting something, something and something down": "1"}
HEADER = "original_vido_id video_id frame_id path labels"


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    folder = tmp_path / "lists"
    entries = [
        {"id": "10", "label": "holding a cup", "template": "Holding [something]"},
        {
            "id": "9",
            "label": "…",
            "template": "Putting [something], [something] and [something] down",
            "placeholders": ["a", "b", "c"],
        },
    ]
    write(folder / "something-something-v2-train.json", entries)
    write(folder / "something-something-v2-validation.json", entries[:1])
    write(folder / "something-something-v2-labels.json", LABELS)
    return folder


def test_templates_without_brackets_are_classes(lists: Path) -> None:
    for name in ("9.mp4", "10.webm", "11.webm"):
        (lists / name).touch()
    videos = read_something(lists, "train")
    assert [Path(path).name for path in videos.paths] == ["10.webm", "9.mp4"]
    assert videos.labels.tolist() == [0, 1]
    assert videos.class_names == tuple(LABELS)


def test_a_frame_list_beside_the_json_is_used(lists: Path) -> None:
    frames = [f'9 0 {i} 9/9_{i + 8:06d}.jpg ""' for i in range(4)]
    frames += ['10 1 0 10/b.jpg ""', '10 1 1 10/a.jpg ""']
    write(lists / "train.csv", "\n".join([HEADER, *frames, ""]))
    videos = read_something(lists, "train", path_prefix="/frames")
    assert list(videos.paths) == ["/frames/10", "/frames/9/9_[000008-000011].jpg"]


def test_videos_that_the_frame_list_lacks(lists: Path) -> None:
    write(lists / "train.csv", f'{HEADER}\n9 0 0 9/9_000001.jpg ""\n')
    with pytest.raises(
        UserError, match=r"train\.csv has no frames of 1 of the 2 .*first is 10\. .*SKIP_MISSING"
    ):
        read_something(lists, "train", path_prefix="/frames")
    videos = read_something(lists, "train", path_prefix="/frames", skip_missing=True)
    assert list(videos.paths) == ["/frames/10", "/frames/9/9_[000001-000001].jpg"]


def test_another_csv_beside_the_json_is_not_a_frame_list(lists: Path) -> None:
    write(lists / "train.csv", "10.webm 0\n")
    (lists / "10.webm").touch()
    assert read_something(lists, "train").paths[0] == str(lists / "10.webm")


def test_the_answers_of_the_test_are_a_list_of_their_own(lists: Path) -> None:
    write(lists / "labels/test-answers.csv", "7;Holding something\n8;Holding [something]\n")
    videos = read_something(lists, "test")
    assert videos.labels.tolist() == [0, 0]
    assert [Path(path).name for path in videos.paths] == ["7", "8"]


def test_without_answers_there_is_no_test(lists: Path) -> None:
    with pytest.raises(UserError, match=r"does not hold .*test-answers\.csv"):
        read_something(lists, "test")


def test_a_template_that_is_no_class(lists: Path) -> None:
    write(
        lists / "something-something-v2-train.json", [{"id": "1", "template": "Hiding [something]"}]
    )
    with pytest.raises(
        UserError, match=r"train\.json, entry 1: 'Hiding something' is not one of the 2 classes"
    ):
        read_something(lists, "train")


@pytest.mark.parametrize(
    "labels", [["Holding something"], {"a": "0", "b": "2"}, {"a": "x"}, {"a": None}]
)
def test_labels_that_are_not_numbered(lists: Path, labels: object) -> None:
    write(lists / "something-something-v2-labels.json", labels)
    with pytest.raises(UserError, match=r"labels\.json must give every class its own number"):
        read_something(lists, "train")


@needs_shared_data
def test_the_real_labels(tmp_path: Path) -> None:
    names = (DATA / "annotations/ssv2/label_map_sthv2.txt").read_text().splitlines()
    write(tmp_path / "labels.json", {name: str(number) for number, name in enumerate(names)})
    templates = [name.replace("something", "[something]") for name in reversed(names)]
    entries = [{"id": str(i), "template": text} for i, text in enumerate(templates)]
    write(tmp_path / "train.json", entries)
    videos = read_something(tmp_path, "train")
    assert videos.labels.tolist() == list(range(173, -1, -1))
    assert list(videos.class_names) == names
