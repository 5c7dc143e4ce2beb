"""Checkpoints written beside the training: what is in them, what stays, and what a fault costs."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.engine.runs import environment
from timesformer.checkpoints import files
from timesformer.checkpoints.writer import CheckpointWriter
from timesformer.errors import UserError

KILLS = 20
LARGE = 5_000_000  # floats: 20 MB


def some(value: float = 0, size: int = 1000) -> dict[str, Any]:
    return {"epoch": 0, "model_state": {"w": torch.full((size,), value)}}


@pytest.mark.parametrize("background", [True, False])
def test_what_is_written_is_what_was_handed_over(tmp_path: Path, background: bool) -> None:
    """In the order of a training step: batch norms first, then what the optimiser changes."""
    model = nn.Sequential(nn.Linear(300, 300), nn.BatchNorm1d(300))
    optimizer = torch.optim.AdamW(model.parameters())
    states = {}
    with CheckpointWriter(background=background) as writer:
        for epoch in (1, 2, 3):
            model(torch.randn(8, 300)).square().sum().backward()
            writer.before_change()
            optimizer.step()
            optimizer.param_groups[0]["lr"] = 1 / epoch
            checkpoint = {
                "model_state": model.state_dict(),
                "optimizer_state": optimizer.state_dict(),
                "more": [torch.tensor(epoch), (epoch, None, "text")],
            }
            path = files.epoch_path(str(tmp_path), epoch)
            torch.save(checkpoint, content := io.BytesIO())
            states[path] = content.getvalue()
            writer.save(checkpoint, [path], {}, buffers=model.buffers())
            checkpoint["more"].append("later")
            optimizer.param_groups[0]["lr"] = 0
    for path, content in states.items():
        assert path.read_bytes() == content


def test_a_copy_is_finished_before_anything_changes(tmp_path: Path) -> None:
    model = {"w": torch.zeros(LARGE)}
    with CheckpointWriter() as writer:
        for epoch in range(4):
            writer.save({"model_state": model}, [files.epoch_path(str(tmp_path), epoch)], {})
            writer.before_change()
            model["w"] += 1
    for epoch in range(4):
        assert (
            files.read(files.epoch_path(str(tmp_path), epoch))["model_state"]["w"] == epoch
        ).all()


@pytest.mark.gpu
def test_a_gpu_s_copy_is_finished_before_anything_changes(tmp_path: Path) -> None:
    model = {"w": torch.zeros(LARGE, device="cuda"), "n": torch.zeros(3, device="cuda")}
    with CheckpointWriter() as writer:
        for epoch in range(4):
            path = files.epoch_path(str(tmp_path), epoch)
            writer.save({"model_state": model}, [path], {}, buffers=[model["n"]])
            model["n"] += 1
            writer.before_change()
            model["w"] += 1
    for epoch in range(4):
        state = files.read(files.epoch_path(str(tmp_path), epoch))["model_state"]
        assert (state["w"] == epoch).all()
        assert (state["n"] == epoch).all()


def test_two_names_and_their_facts(tmp_path: Path) -> None:
    path, best = files.epoch_path(str(tmp_path), 1), files.folder(str(tmp_path)) / files.BEST
    with CheckpointWriter() as writer:
        writer.save(some(), [best, path], {"epochs_done": 1, "metrics": {"loss": 2.0}})
    assert path.stat().st_ino == best.stat().st_ino
    for name in (path, best):
        facts = json.loads(files.json_path(name).read_text())
        assert facts["metrics"] == {"loss": 2.0}
        files.verify(name)


def test_the_best_is_there_before_the_epoch_that_counts_on_it(tmp_path: Path) -> None:
    path, best = files.epoch_path(str(tmp_path), 1), files.folder(str(tmp_path)) / files.BEST
    files.json_path(path).mkdir(parents=True)  # so that the second name cannot be given
    writer = CheckpointWriter()
    writer.save(some(), [best, path], {"epochs_done": 1})
    with pytest.raises(UserError, match="could not be written"):
        writer.close()
    assert not path.exists()
    assert files.verify(best)


def write_run(out: str, writer: CheckpointWriter) -> None:
    """Three epochs with three checkpoints within each, the best in the first."""
    for epoch in range(3):
        for step in range(3):
            writer.save(some(), [files.step_path(out, epoch, 10 * epoch + step)], {})
        best = [files.folder(out) / files.BEST] if epoch == 0 else []
        writer.save(some(), [*best, files.epoch_path(out, epoch + 1)], {})


@pytest.mark.parametrize(("keep", "stay"), [(0, [3, 2, 1]), (1, [3]), (2, [3, 2])])
def test_how_many_stay(tmp_path: Path, keep: int, stay: list[int]) -> None:
    out = str(tmp_path)
    with CheckpointWriter(keep=keep) as writer:
        write_run(out, writer)
        writer.save(some(), [files.step_path(out, 3, 30)], {})
        writer.save(some(), [files.step_path(out, 3, 31)], {})
        writer.save(some(), [files.step_path(out, 3, 32)], {})
    expected = [files.step_path(out, 3, 32), files.step_path(out, 3, 31)]
    expected += [files.epoch_path(out, epoch) for epoch in stay]
    assert files.all_paths(out) == expected
    kept = {path.name for path in files.folder(out).iterdir()}
    beside = {files.json_path(path).name for path in expected} | {path.name for path in expected}
    assert kept == beside | {files.BEST, "checkpoint_best.json"}


def test_a_broken_newer_one_does_not_drive_out_the_good_ones(tmp_path: Path) -> None:
    out = str(tmp_path)
    broken = files.epoch_path(out, 9)
    with CheckpointWriter(keep=1) as writer:
        writer.save(some(), [broken], {})
        writer.save(some(), [files.epoch_path(out, 4)], {})
    assert files.all_paths(out) == [broken, files.epoch_path(out, 4)]


def test_a_defect_of_ours_is_no_full_disk(tmp_path: Path) -> None:
    writer = CheckpointWriter()
    writer.save({"model_state": lambda: 0}, [files.epoch_path(str(tmp_path), 1)], {})
    with pytest.raises(Exception, match="lambda"):
        writer.close()
    assert list(files.folder(str(tmp_path)).iterdir()) == []


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # EFBIG, as a full quota
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_one_failed_write_is_a_warning_and_the_next_a_success(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [files.epoch_path(str(tmp_path), epoch) for epoch in (1, 2, 3, 4)]
    writer = CheckpointWriter(keep=1)
    with files_of_at_most(1_000_000):
        for path, size in zip(paths, (1000, LARGE, 1000, LARGE), strict=True):
            writer.save(some(size=size), [path], {})
        with pytest.raises(UserError, match="00004.pyth could not be written .*File too large"):
            writer.close()
    assert files.all_paths(str(tmp_path)) == [paths[2]]
    assert f"the checkpoint {paths[1]} could not be written ([Errno 27]" in caplog.text
    assert caplog.text.count("The run goes on") == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_ends_the_run_at_the_second_write(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [files.epoch_path(str(small_disk), epoch) for epoch in (1, 2, 3)]
    writer = CheckpointWriter(keep=1)
    writer.save(some(), [paths[0]], {})
    writer.save(some(size=LARGE), [paths[1]], {})
    writer.save(some(size=LARGE), [paths[2]], {})
    assert f"the checkpoint {paths[1]} could not be written ([Errno 28] No space" in caplog.text
    with pytest.raises(UserError, match="00003.pyth .*No space.* nor could the one before it"):
        writer.close()
    assert files.newest_good(str(small_disk)) == paths[0]
    names = sorted(path.name for path in files.folder(str(small_disk)).iterdir())
    assert names == [files.json_path(paths[0]).name, paths[0].name]


def test_a_second_error_does_not_hide_the_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "checkpoints").touch()  # a file where the folder should be

    def fail() -> None:
        with CheckpointWriter() as writer:
            writer.save(some(), [files.epoch_path(str(tmp_path), 1)], {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert "00001.pyth could not be written" in caplog.text


WRITE_FOR_EVER = """
import os, random, signal, sys, time
import torch
from pathlib import Path
from timesformer.checkpoints import files
from timesformer.checkpoints.lock import OutputLock
from timesformer.checkpoints.writer import CheckpointWriter

def write_for_ever(out, first):
    weights = torch.zeros(1_000_000)
    with OutputLock(out, patience=0), CheckpointWriter(keep=2) as writer:
        files.remove_leftovers(out)
        for epoch in range(first, 10**5):
            writer.before_change()
            weights.fill_(epoch)
            best = [files.folder(out) / files.BEST] if epoch % 3 == 0 else []
            name = files.epoch_path(out, epoch)
            if epoch % 2:
                name = files.step_path(out, epoch, epoch)
            checkpoint = {"epoch": epoch, "model_state": {"w": weights}}
            writer.save(checkpoint, [*best, name], {})

out, kills = sys.argv[1], int(sys.argv[2])
first, cut = 1, 0
for kill in range(kills):
    child = os.fork()
    if not child:
        write_for_ever(out, first)
    best = files.folder(out) / files.BEST
    while not best.exists() or not list(files.folder(out).glob("*.tmp")):
        time.sleep(0.001)
    time.sleep(random.Random(kill).uniform(0, 0.2))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    cut += bool(list(files.folder(out).glob("*.tmp")))
    for path in [*files.all_paths(out), best]:
        files.verify(path)
        content = files.read(path)
        assert (content["model_state"]["w"] == content["epoch"]).all(), path
    assert files.newest_good(out) == files.all_paths(out)[0]
    assert files.position(files.newest_good(out))[0] >= first - 1
    newest = files.position(files.newest_good(out))[0]
    assert content["epoch"] >= newest // 3 * 3, "the best up to the newest"
    first = newest + 1
print(cut, first)
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_leaves_good_checkpoints_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path), str(KILLS)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cut, first = map(int, done.stdout.split())
    assert cut > KILLS // 4, "kills must have hit files that were being written"
    assert first > 3, "and it must have got on"
