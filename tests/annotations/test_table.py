"""The list itself: strings and arrays that every process sees and none copies."""

from __future__ import annotations

import copy
import multiprocessing
import os

import numpy as np
import pytest

from timesformer.annotations.table import PackedStrings, VideoList, read_class_names, read_lines
from timesformer.errors import UserError


def videos(count: int = 5) -> VideoList:
    paths = PackedStrings((f"Füße {i}.mp4" for i in range(count)), folder="/data")
    spans = np.array([[i, np.nan] for i in range(count)], dtype=np.float64).reshape(-1, 2)
    backward = np.arange(count) % 2 == 1
    return VideoList(paths, np.arange(count, dtype=np.int64), "here", ("a", "b"), spans, backward)


def check(found: VideoList, expected: VideoList) -> None:
    assert list(found.paths) == list(expected.paths)
    assert found.labels.tolist() == expected.labels.tolist()
    np.testing.assert_array_equal(found.spans, expected.spans)
    np.testing.assert_array_equal(found.backward, expected.backward)
    assert (found.source, found.class_names) == (expected.source, expected.class_names)


def check_ours(found: VideoList) -> None:
    check(found, videos())


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_another_process_sees_the_same(method):
    process = multiprocessing.get_context(method).Process(target=check_ours, args=(videos(),))
    process.start()
    process.join()
    assert process.exitcode == 0


def change(found: VideoList) -> None:
    found.labels[0] = 7


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_memory_is_one(method):
    ours = videos()
    process = multiprocessing.get_context(method).Process(target=change, args=(ours,))
    process.start()
    process.join()
    assert ours.labels[0] == 7


def test_copies_selections_and_nothing_at_all():
    check(copy.copy(videos()), videos())
    chosen = videos().select(np.array([3, 0]))
    assert chosen.paths[:] == ["/data/Füße 3.mp4", "/data/Füße 0.mp4"]
    assert chosen.labels.tolist() == [3, 0]
    assert chosen.spans[:, 0].tolist() == [3, 0]
    assert chosen.backward.tolist() == [True, False]
    nothing = videos(0)
    assert (len(nothing), list(nothing.paths), nothing.labels.tolist()) == (0, [], [])


def test_strings_are_a_sequence():
    strings = PackedStrings(["a", "", "ccc"])
    assert (len(strings), strings[-1], strings[1:]) == (3, "ccc", ["", "ccc"])
    assert "a" in strings
    with pytest.raises(IndexError):
        strings[3]


NAMES = ["a.mp4", "Füße/音 b.mp4", "", "/abs/c.mp4", "d" * 300]


def test_strings_come_back_as_they_are_by_any_index():
    packed = PackedStrings(NAMES)
    assert list(packed) == NAMES
    assert (packed[1], packed[-1], packed[-5]) == (NAMES[1], NAMES[4], NAMES[0])
    assert packed[1:4] == NAMES[1:4]
    assert packed[::-2] == NAMES[::-2]
    assert packed[10:] == []
    assert packed[np.int64(1)] == NAMES[1]
    assert packed.index("/abs/c.mp4") == 3
    assert "b.mp4" not in packed
    for index in (5, -6):
        with pytest.raises(IndexError):
            packed[index]
    with pytest.raises(IndexError):
        PackedStrings([])[0]


def test_the_folder_is_joined_but_not_to_absolute_paths():
    packed = PackedStrings(NAMES[1::2], folder="/data")
    assert list(packed) == ["/data/Füße/音 b.mp4", "/abs/c.mp4"]


def test_names_that_are_no_unicode_come_back_as_they_are():
    name = os.fsdecode(b"caf\xe9.mp4")
    assert list(PackedStrings([name], folder="/v")) == [f"/v/{name}"]


def test_a_class_without_a_name_is_called_by_its_number():
    assert [videos().name_of(label) for label in range(3)] == ["a", "b", "2"]


# --- class names ----------------------------------------------------------------------------------


def test_class_names_are_lines(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes("jump high\r\nWürfeln\r\n\r\n\n".encode("utf-8-sig"))
    assert read_class_names(path) == ("jump high", "Würfeln")
    path.write_text("")
    assert read_class_names(path) == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("jump\n\nrun\n", r"classes\.txt, line 2 is empty\. Each line names one class"),
        ("jump\nrun\njump \n", r"classes\.txt: the class 'jump' stands on lines 1 and 3"),
    ],
)
def test_mistakes_in_class_names(tmp_path, text, sentence):
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_class_names(tmp_path / "classes.txt")


def test_a_list_that_is_not_text_or_not_there(tmp_path):
    (tmp_path / "a.txt").write_bytes("jump".encode("utf-16"))
    with pytest.raises(UserError, match=r"a\.txt is not UTF-8 text .*Save it again"):
        read_lines(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes("jump\nrun\n".encode("utf-16-le"))
    with pytest.raises(UserError, match=r"a\.txt is not UTF-8 text \(zero bytes\)"):
        read_lines(tmp_path / "a.txt")
    with pytest.raises(UserError, match=r"b\.txt cannot be read: No such file"):
        read_lines(tmp_path / "b.txt")


def test_the_fingerprint_changes_with_what_is_seen_and_not_with_the_folder():
    def listed(folder="/data", label=1, end=2.0, backward=True):
        return VideoList(
            PackedStrings(["a.mp4"], folder=folder),
            np.array([label], dtype=np.int64),
            "here",
            spans=np.array([[0.0, end]]),
            backward=np.array([backward]),
        ).fingerprint()

    assert listed() == listed(folder="/elsewhere")
    others = {listed(), listed(label=0), listed(end=3.0), listed(backward=False)}
    assert len(others) == 4
