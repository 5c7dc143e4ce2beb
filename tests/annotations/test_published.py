"""What the readers of published lists share: a sentence for every way a file can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from timesformer.annotations.published import (
    class_number,
    find_file,
    need_file,
    read_entries,
    read_json,
    read_pairs,
)
from timesformer.errors import UserError


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_first_pattern_that_fits_counts_here_and_in_labels(tmp_path: Path) -> None:
    inner = write(tmp_path / "labels/train.json", "[]")
    assert find_file(tmp_path, "*-train.json", "train.json") == inner
    outer = write(tmp_path / "x-train.json", "[]")
    assert find_file(tmp_path, "*-train.json", "train.json") == outer
    assert find_file(tmp_path, "test.json") is None


def test_two_files_for_one_pattern_are_asked_about(tmp_path: Path) -> None:
    write(tmp_path / "a-train.json", "[]")
    write(tmp_path / "b-train.json", "[]")
    with pytest.raises(UserError, match=r"holds a-train\.json, b-train\.json: which is meant"):
        find_file(tmp_path, "*-train.json")


def test_a_missing_file_names_the_key_and_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "notes.txt", "")
    with pytest.raises(UserError, match=r"PATH_TO_DATA_DIR.* a\.json or b\.json\. .* notes\.txt\."):
        need_file(tmp_path, "a.json", "b.json")
    with pytest.raises(UserError, match=r"It holds nothing"):
        need_file(tmp_path / "nowhere", "a.json")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('[\n{"id": "1"},\n{"id": ', r"a\.json, line 3: this is not JSON"),
        ("{}", r"a\.json must be a list of videos, each with id, label"),
        ("[]", r"a\.json must be a list of videos, each with id, label"),
        ('[{"id": "1", "label": 0}, {"id": "2"}]', r'a\.json, entry 2: {"id": "2"} does not have'),
        ('[{"id": "1", "label": null}]', r"a\.json, entry 1: .* does not have id, label"),
        ('["1"]', r'a\.json, entry 1: "1" does not have id, label'),
    ],
)
def test_a_bad_list_of_entries(tmp_path: Path, text: str, answer: str) -> None:
    with pytest.raises(UserError, match=answer):
        list(read_entries(write(tmp_path / "a.json", text), "id", "label"))


def test_entries_come_as_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '[{"id": 1, "label": 0, "x": 2}, {"label": "1", "id": "b"}]')
    assert list(read_entries(path, "id", "label")) == [("1", "0"), ("b", "1")]


def test_a_json_that_is_not_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe[]")
    with pytest.raises(UserError, match=r"a\.json cannot be read"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"b\.json cannot be read: .*No such file"):
        read_json(tmp_path / "b.json")


def test_pairs_split_at_the_first_semicolon(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "1;Drumming; fingers\r\n\n 2 ; Stop \n")
    assert list(read_pairs(path)) == [(1, "1", "Drumming; fingers"), (3, "2", "Stop")]


@pytest.mark.parametrize("line", ["2", "2;", ";Stop"])
def test_a_bad_pair(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match=rf"a\.csv, line 2: '{line}' is not 'id;class'"):
        list(read_pairs(write(tmp_path / "a.csv", f"1;Stop\n{line}\n")))


def test_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.csv lists no videos"):
        list(read_pairs(write(tmp_path / "a.csv", "\n")))


def test_an_unknown_class_is_answered_with_the_nearest() -> None:
    numbers = {"Stop Sign": 0, "Swiping Left": 1}
    assert class_number(numbers, "Stop Sign", where="x", source=Path("l")) == 0
    answer = r"^a, line 2: 'Stop sign' is not one of the 2 classes of l\. Did you mean 'Stop Sign'"
    with pytest.raises(UserError, match=answer):
        class_number(numbers, "Stop sign", where="a, line 2", source=Path("l"))
