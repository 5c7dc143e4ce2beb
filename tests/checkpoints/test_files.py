"""Checkpoint files: their names, what is beside them, and which of them are believed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch

from timesformer.checkpoints import files
from timesformer.checkpoints.atomic import put_in_place
from timesformer.errors import UserError


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.path), "w"))


def some(value: float = 0) -> dict[str, object]:
    return {"epoch": 0, "cfg": "A: 1\n", "model_state": {"w": torch.full((1000,), value)}}


def test_reading_executes_nothing(tmp_path: Path) -> None:
    torch.save({"epoch": 1, "model_state": Bomb(tmp_path / "mark")}, tmp_path / "bomb.pyth")
    with pytest.raises(UserError, match="bomb.pyth.* was refused: to load it, Python would have"):
        files.read(tmp_path / "bomb.pyth")
    assert not (tmp_path / "mark").exists()


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint file"):
        files.read(tmp_path / "none.pyth")
    torch.save([1, 2], tmp_path / "list.pyth")
    with pytest.raises(UserError, match="list.pyth is not a checkpoint: it holds no model_state"):
        files.read(tmp_path / "list.pyth")


def test_within_an_epoch_is_newer_than_its_start_and_older_than_its_end(tmp_path: Path) -> None:
    out = str(tmp_path)
    oldest_first = [
        files.step_path(out, 0, 7),
        files.epoch_path(out, 1),
        files.epoch_path(out, 5),
        files.step_path(out, 5, 99),
        files.step_path(out, 5, 123),
        files.epoch_path(out, 6),
        files.epoch_path(out, 100_000),
    ]
    assert oldest_first[4].name == "checkpoint_epoch_00005_step_00000123.pyth"
    for path in reversed(oldest_first):
        files.write(some(), path)
    (files.folder(out) / "checkpoint_epoch_00009.pyth.tmp").touch()
    (files.folder(out) / "checkpoint_epoch_00009_mine.pyth").touch()
    assert files.all_paths(out) == oldest_first[::-1]
    assert files.epoch_paths(out) == [
        path for path in oldest_first[::-1] if "step" not in path.name
    ]


def test_what_lies_beside_a_checkpoint(tmp_path: Path) -> None:
    path = files.epoch_path(str(tmp_path), 3)
    files.write(some(), path, {"epochs_done": 3, "metrics": {"loss": float("nan"), "top1": 50.0}})
    facts = json.loads(files.json_path(path).read_text())
    assert facts["metrics"] == {"loss": None, "top1": 50.0}
    assert facts["epochs_done"] == 3
    assert facts["bytes"] == path.stat().st_size
    assert facts["sha256"] == files.sha256_of(path)
    assert len(facts["config_sha256"]) == 64
    assert {"timesformer", "python", "torch", "numpy", "av"} <= set(facts["versions"])
    assert [file.name for file in path.parent.glob("*.tmp")] == []


def test_the_newest_good_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert files.newest_good(str(tmp_path)) is None
    good, truncated, flipped = (files.epoch_path(str(tmp_path), epoch) for epoch in (1, 2, 10))
    for path in (good, truncated, flipped):
        files.write(some(), path)
    truncated.write_bytes(truncated.read_bytes()[:-40])
    files.json_path(truncated).unlink()  # reading shows it as well
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1  # in the weights: they can be read
    flipped.write_bytes(content)
    files.read(flipped)
    assert files.newest_good(str(tmp_path)) == good
    assert f"skipping a broken checkpoint: {flipped} is not as it was written" in caplog.text
    assert f"skipping a broken checkpoint: '{truncated}' cannot be read" in caplog.text


def test_what_is_as_it_was_written_is_not_read(tmp_path: Path) -> None:
    path = files.epoch_path(str(tmp_path), 1)
    path.parent.mkdir()
    path.write_bytes(b"no checkpoint")
    assert files.newest_good(str(tmp_path)) is None
    facts = {"sha256": hashlib.sha256(b"no checkpoint").hexdigest()}
    files.write_json(files.json_path(path), facts)
    assert files.newest_good(str(tmp_path)) == path


def test_broken_facts_break_no_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = files.epoch_path(str(tmp_path), 1)
    files.write(some(), path)
    files.json_path(path).write_text('{"sha256": ')
    assert files.newest_good(str(tmp_path)) == path
    assert f"{path} is taken without its facts" in caplog.text


def test_an_older_file_s_facts_do_not_condemn_the_new_one(tmp_path: Path) -> None:
    """Killed between the two files, a run that repeats an epoch leaves the checkpoint alone."""
    path = files.epoch_path(str(tmp_path), 1)
    files.write(some(1), path)
    before = files.json_path(path).read_text()
    files.json_path(path).unlink()
    files.json_path(path).mkdir()  # so that the new facts cannot be written
    with pytest.raises(OSError, match="checkpoint_epoch_00001.json"):
        files.write(some(2), path)
    files.json_path(path).rmdir()
    files.json_path(path).write_text(before)
    files.write(some(2), path)
    assert files.newest_good(str(tmp_path)) == path


def test_a_second_name_is_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_epoch_00001.pyth"
    best = tmp_path / files.BEST
    for value in (1.0, 2.0):  # the second time it replaces another
        files.write(some(value), path)
        files.give_second_name(path, best)
        assert os.path.samefile(path, best)
        files.verify(best)
    files.remove(path)
    files.verify(best)
    assert torch.equal(files.read(best)["model_state"]["w"], torch.full((1000,), 2.0))


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_a_second_name_where_there_are_no_links(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_epoch_00001.pyth"
    files.write(some(1), path)
    other = Path("/dev/shm", f"checkpoint_test_{os.getpid()}.pyth")
    try:
        files.give_second_name(path, other)
        files.verify(other)
        assert other.read_bytes() == path.read_bytes()
    finally:
        files.remove(other)


def test_leftovers_go_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = files.epoch_path(str(tmp_path), 1)
    files.write(some(), path)
    unfinished = path.with_name("checkpoint_epoch_00002.pyth.tmp")
    foreign = path.with_name("notes.tmp")
    unfinished.write_bytes(b"PK")
    foreign.touch()
    caplog.set_level("INFO")
    files.remove_leftovers(str(tmp_path))
    assert not unfinished.exists()
    assert foreign.exists()
    assert files.newest_good(str(tmp_path)) == path
    assert f"removing {unfinished}" in caplog.text


def test_a_folder_outlives_a_kill_while_it_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shares = files.epoch_path(str(tmp_path), 1).with_suffix(".dcp")
    half_removed = shares.with_name("checkpoint_epoch_00002.dcp.gone.tmp")
    for place in (shares, half_removed):
        place.mkdir(parents=True)
    (shares / "share").write_text("the former")
    with pytest.raises(FileNotFoundError):  # the second rename, which a kill would prevent
        put_in_place(tmp_path / "none", shares)
    assert not shares.exists()
    caplog.set_level("INFO")
    files.remove_leftovers(str(tmp_path))
    assert list(shares.parent.iterdir()) == [shares]
    assert (shares / "share").read_text() == "the former"
    assert f"{shares} is back" in caplog.text
    newer = tmp_path / "newer"
    newer.mkdir()
    put_in_place(newer, shares)
    assert list(shares.parent.rglob("*")) == [shares]
