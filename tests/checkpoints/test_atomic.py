"""Files that are there whole or not at all, and never in the place of something else."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from timesformer.checkpoints.atomic import check_writable, hindrance_of, replacing, writing
from timesformer.errors import UserError


def test_a_file_never_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "a.txt").write_text("years of work")
    with pytest.raises(IsADirectoryError), replacing(results):
        pytest.fail("nothing is begun")
    sentence = r"results' cannot be written \(it is a folder\): name another --out\.$"
    with pytest.raises(UserError, match=sentence), writing(results):
        pytest.fail("nothing is begun")
    with pytest.raises(UserError, match=sentence):
        check_writable(results)
    assert sorted(tmp_path.rglob("*")) == [results, results / "a.txt"]
    assert (results / "a.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", ["", ".", "..", "/"])
def test_what_has_no_name_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="it is a folder"), writing(Path(name)):
        pytest.fail("nothing is begun")
    with pytest.raises(UserError, match="it is a folder"):
        check_writable(Path(name))


def test_a_pipe_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="a device or a pipe"), writing(tmp_path / "pipe"):
        pytest.fail("nothing is begun")
    assert (tmp_path / "pipe").is_fifo()


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with writing(path) as file:
        file.write(b"before")
    with pytest.raises(ZeroDivisionError), writing(path) as file:
        file.write(bytes(1 // (file.write(b"half") - 4)))
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_in_the_way_of_the_folder_is_named_before_and_at_the_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "new" / "a.txt"
    words = re.escape(f"'{path}' cannot be written (because of {tmp_path / 'file'})")
    with pytest.raises(UserError, match=words):
        check_writable(path)
    words = "a.txt' cannot be written .*: name another --out"
    with pytest.raises(UserError, match=words), writing(path):
        pytest.fail("nothing is begun")
    assert (tmp_path / "file").is_file()


def test_to_look_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_writable(Path("a.txt"))
    check_writable(Path("new/folder/a.txt"))
    assert hindrance_of(Path("new/folder")) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_closed_folder_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    assert hindrance_of(closed / "new") == closed
