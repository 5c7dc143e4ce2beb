"""One run at a time in an OUTPUT_DIR: real processes, killed for real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.runs import environment
from timesformer.checkpoints.lock import NAME, OutputLock
from timesformer.errors import UserError

HOLD = """
import os, sys, time
from timesformer.checkpoints.lock import OutputLock
with OutputLock(sys.argv[1]):
    child = os.fork()  # a loader worker inherits everything
    if not child:
        os.close(1)
        time.sleep(600)
    print(os.getpid(), child, flush=True)
    sys.stdin.read()
    os.kill(child, 9)
"""


class Holder:
    """Another process that holds `folder`, with a child."""

    def __init__(self, folder: Path, job: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment() | {"SLURM_JOB_ID": job},
        )
        assert self.process.stdout
        self.pid, self.child = map(int, self.process.stdout.readline().split())

    def end(self, *, kill: bool) -> None:
        """The child stays after a kill; see `bury`."""
        if kill:
            self.process.kill()
        self.process.communicate()

    def bury(self) -> None:
        os.kill(self.child, 9)


def test_a_second_run_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    holder = Holder(tmp_path, job="77")
    try:
        words = (
            rf"OUTPUT_DIR {tmp_path} is in use by process {holder.pid} on \S+, Slurm job 77 since"
        )
        with pytest.raises(UserError, match=words):
            OutputLock(str(tmp_path), patience=0.3).take()
        with pytest.raises(UserError, match="is in use"):  # the refused one has not unlocked it
            OutputLock(str(tmp_path), patience=0).take()
    finally:
        holder.end(kill=False)
    with OutputLock(str(tmp_path), patience=0):
        pass


def test_a_killed_holder_holds_nothing_though_its_child_lives(tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    holder.end(kill=True)
    try:
        os.kill(holder.child, 0)  # it does live
        with OutputLock(str(tmp_path), patience=0):
            assert f'"pid": {os.getpid()}' in (tmp_path / NAME).read_text()
    finally:
        holder.bury()


def test_one_on_its_way_out_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    holder = Holder(tmp_path)
    ending = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill {holder.pid} {holder.child}"])
    with OutputLock(str(tmp_path), patience=60):
        pass
    ending.wait()
    holder.end(kill=False)
    assert f"is held by process {holder.pid} on " in caplog.text
    assert "waiting up to 60 s" in caplog.text


def test_one_of_the_same_job_is_waited_for_longer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setenv("SLURM_JOB_ID", "78")
    holder = Holder(tmp_path, job="78")
    ending = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill {holder.pid} {holder.child}"])
    with OutputLock(str(tmp_path), patience=0):
        pass
    ending.wait()
    holder.end(kill=False)
    assert "Slurm job 78: waiting up to 120 s" in caplog.text


def test_the_same_process_may_not_hold_it_twice(tmp_path: Path) -> None:
    with OutputLock(str(tmp_path)):
        with pytest.raises(UserError, match=f"in use by process {os.getpid()}"):
            OutputLock(str(tmp_path / "." / "sub" / "..")).take()
        holder = subprocess.run(
            [sys.executable, "-c", HOLD.replace("argv[1])", "argv[1], patience=0)"), str(tmp_path)],
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
    assert holder.returncode == 1
    assert f"in use by process {os.getpid()}" in holder.stderr
    with OutputLock(str(tmp_path), patience=0):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="OUTPUT_DIR .*file/out cannot be written to or locked"):
        OutputLock(str(tmp_path / "file" / "out")).take()
