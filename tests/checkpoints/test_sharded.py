"""Checkpoints in shares: written by some processes, read by any number, executing nothing."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.metadata import BytesStorageMetadata

from timesformer.checkpoints import files
from timesformer.checkpoints.merge import merge
from timesformer.checkpoints.sharded import PLAIN, MetadataUnpickler
from timesformer.checkpoints.sharded_writer import ShardedWriter
from timesformer.errors import UserError

SHARE = "__0_0.distcp"

# Of torch 2.6 about itself.
pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")


@pytest.fixture
def group() -> Iterator[None]:
    """This process as a group of one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def some(value: float = 0, size: int = 1000) -> dict[str, Any]:
    return {
        "epoch": 2,
        "cfg": "A: 1\n",
        "model_state": {"w": torch.full((size,), value), "n": torch.tensor(3)},
        "optimizer_state": {"state": {0: {"step": torch.tensor(5.0)}}, "groups": [{"lr": 0.5}]},
        "half": (torch.ones(2, dtype=torch.bfloat16), None),
    }


@pytest.fixture
def folder(tmp_path: Path, group: None) -> Path:
    with ShardedWriter() as writer:
        writer.save(some(), [files.epoch_path(str(tmp_path), 3)], {"epochs_done": 3})
    return files.folder(str(tmp_path)) / "checkpoint_epoch_00003.dcp"


def test_what_is_read_is_what_was_written(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [".metadata", SHARE, PLAIN]
    assert repr(files.read(folder)) == repr(some())
    facts = json.loads(files.json_path(folder).read_text())
    assert facts["epochs_done"] == 3
    assert facts["sha256"] == files.sha256_of(folder)
    assert facts["bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert str(folder.parent).encode() not in (folder / ".metadata").read_bytes()


def test_it_becomes_one_file(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = merge(folder)
    assert path == files.epoch_path(str(tmp_path), 3)
    assert repr(files.read(path)) == repr(some())
    facts = json.loads(files.json_path(path).read_text())
    assert facts["epochs_done"] == 3
    assert facts["sha256"] == files.sha256_of(path)
    files.verify(folder)  # whose facts are still its own
    written = path.stat().st_mtime_ns
    assert merge(folder) == path
    assert path.stat().st_mtime_ns == written, "once"
    assert caplog.text.count("is now one file") == 1
    merge(folder, tmp_path / "elsewhere.pyth")
    assert (tmp_path / "elsewhere.pyth").read_bytes() == path.read_bytes()
    with pytest.raises(UserError, match="is no checkpoint in shares"):
        merge(path, tmp_path / "again.pyth")


def test_shares_that_were_replaced_are_merged_again(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = merge(folder)
    former = files.facts_of(folder)["sha256"]
    assert files.facts_of(path)["merged_from"] == former
    with ShardedWriter() as writer:
        writer.save(some(7), [path], {})
    assert files.newest_good(str(tmp_path)) == folder
    caplog.set_level("INFO")
    assert files.read(merge(folder))["model_state"]["w"][0] == 7
    assert files.facts_of(path)["merged_from"] == files.sha256_of(folder) != former
    assert f"{path} is not of its shares as they are now: merging again" in caplog.text
    assert merge(folder) == path
    assert f"{folder} is already one file, {path}" in caplog.text
    path.write_bytes(b"broken")
    assert files.read(merge(folder))["model_state"]["w"][0] == 7
    files.write(some(8), path)
    with pytest.raises(UserError, match=r"00003.pyth was not merged from shares but written by"):
        merge(folder)
    assert files.newest_good(str(tmp_path)) == path


def test_it_is_listed_kept_and_replaced_as_any_other(tmp_path: Path, group: None) -> None:
    out = str(tmp_path)
    files.write(some(), files.epoch_path(out, 1))
    with ShardedWriter(keep=2) as writer:
        writer.save(some(), [files.step_path(out, 1, 15)], {})
        best = files.folder(out) / files.BEST
        for value, epoch in ((1.0, 2), (2.0, 3), (3.0, 3)):
            writer.save(some(value), [best, files.epoch_path(out, epoch)], {})
    names = [path.name for path in files.all_paths(out)]
    assert names == ["checkpoint_epoch_00003.dcp", "checkpoint_epoch_00002.dcp"]
    assert files.newest_good(out) == files.all_paths(out)[0]
    for path in (files.all_paths(out)[0], best.with_suffix(".dcp")):
        files.verify(path)
        assert files.read(path)["model_state"]["w"][0] == 3
    assert [path for path in files.folder(out).iterdir() if path.suffix == ".tmp"] == []


def test_the_newest_broken_one_is_skipped(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = files.epoch_path(str(tmp_path), 2)
    files.write(some(), good)
    share = folder / SHARE
    content = bytearray(share.read_bytes())
    content[len(content) // 3] ^= 1
    share.write_bytes(content)
    assert files.newest_good(str(tmp_path)) == good
    assert f"skipping a broken checkpoint: {folder} is not as it was written" in caplog.text
    files.json_path(folder).unlink()
    assert files.newest_good(str(tmp_path)) == folder  # its values are not read
    share.write_bytes(content[:100])
    assert files.newest_good(str(tmp_path)) == good
    assert f"'{folder}' was refused or is damaged" in caplog.text
    (folder / PLAIN).unlink()  # as a copy that was interrupted
    assert files.newest_good(str(tmp_path)) == good


def test_a_folder_that_was_not_finished_does_not_count(folder: Path, tmp_path: Path) -> None:
    unfinished = folder.rename(folder.with_name(folder.name + ".tmp"))
    assert files.newest_good(str(tmp_path)) is None
    files.remove_leftovers(str(tmp_path))
    assert not unfinished.exists()


def test_a_full_disk_costs_the_second_time(
    tmp_path: Path, group: None, caplog: pytest.LogCaptureFixture
) -> None:
    out = str(tmp_path)
    writer = ShardedWriter()
    writer.save(some(), [files.epoch_path(out, 1)], {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        writer.save(some(size=1_000_000), [files.epoch_path(out, 2)], {})
        with pytest.raises(UserError, match=r"00003.dcp could not .* nor could the one before it"):
            writer.save(some(size=1_000_000), [files.epoch_path(out, 3)], {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "checkpoint_epoch_00002.dcp could not be written (process 0: " in caplog.text
    names = sorted(path.name for path in files.folder(out).iterdir())
    assert names == ["checkpoint_epoch_00001.dcp", "checkpoint_epoch_00001.dcp.json"]


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.mark), "w"))


def assert_refused(folder: Path, mark: Path, words: str) -> None:
    files.json_path(folder).unlink(missing_ok=True)  # who can change the folder can change this
    with pytest.raises(UserError, match=words):
        files.read(folder)
    assert not mark.exists()


def test_poisoned_metadata_executes_nothing(folder: Path, tmp_path: Path) -> None:
    metadata, mark = folder / ".metadata", tmp_path / "mark"
    sound = metadata.read_bytes()
    for place in ("planner_data", "version", "storage_data"):
        poisoned = MetadataUnpickler(io.BytesIO(sound)).load()
        setattr(poisoned, place, Bomb(mark))
        metadata.write_bytes(pickle.dumps(poisoned))
        assert_refused(folder, mark, "Python would have to execute (io|_io).open")
        metadata.write_bytes(sound)
    metadata.write_bytes(pickle.dumps(os.getcwd))
    assert_refused(folder, mark, "would have to execute (posix|os).getcwd")
    metadata.write_bytes(pickle.dumps([1, 2]))
    assert_refused(folder, mark, "the metadata is none")


def test_values_that_pytorch_would_unpickle_are_refused(folder: Path, tmp_path: Path) -> None:
    metadata, mark = folder / ".metadata", tmp_path / "mark"
    sound = metadata.read_bytes()
    poisoned = MetadataUnpickler(io.BytesIO(sound)).load()
    torch.save(Bomb(mark), folder / SHARE)
    assert_refused(folder, mark, "was refused or is damaged")  # in the place of a tensor
    poisoned.state_dict_metadata["model_state/w"] = BytesStorageMetadata()
    metadata.write_bytes(pickle.dumps(poisoned))
    assert_refused(folder, mark, "model_state/w is no tensor")
    metadata.write_bytes(sound.replace(SHARE.encode(), b"../0_.distcp"))
    assert_refused(folder, mark, r"\.\./0_.distcp is elsewhere")
    metadata.write_bytes(sound)
    torch.save({"model_state": Bomb(mark)}, folder / PLAIN)
    assert_refused(folder, mark, "was refused: to load it, Python would have to execute code")
