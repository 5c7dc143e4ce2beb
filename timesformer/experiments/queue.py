"""Runs as processes: some at a time, each in a folder of its own, continued where it was left."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from timesformer.errors import UserError
from timesformer.experiments.facts import is_done, note_weights, read_facts, write_facts
from timesformer.experiments.plan import TRAINED, Run
from timesformer.progress import progress, say
from timesformer.report.history import read_history
from timesformer.signals import StopSignals

OUTPUT = "output.txt"
LOCK = ".reproduce.lock"
SECONDS_BETWEEN_LOOKS = 0.2
GRACE_SECONDS = 60  # of a run that was asked to stop


class Job:
    """The process of a run.

    It holds the lock too, so that a run that outlives us, because we were killed, is waited for.
    """

    def __init__(self, run: Run, program: Path, lock: int) -> None:
        self.run = run
        self._lock = lock
        self._started = time.monotonic()
        note_weights(run)
        command = [sys.executable, str(program), "--cfg", str(run.cfg), *run.options]
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(run),
                pass_fds=[lock],
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> Path:
        return self.run.folder / OUTPUT

    def has_ended(self, *, wait: bool = False) -> bool:
        """Whether it has; and if so, its time is noted and others may have its folder."""
        pid, status, usage = os.wait4(self.pid, 0 if wait else os.WNOHANG)
        if pid == 0:
            return False
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._add_time(usage.ru_utime + usage.ru_stime)
        return True

    def _add_time(self, cpu_seconds: float) -> None:
        facts = read_facts(self.run.folder)
        seconds = facts.get("seconds", 0.0) + time.monotonic() - self._started
        cpu_seconds += facts.get("cpu_seconds", 0.0)
        times = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1)}
        write_facts(self.run.folder, facts | times)

    def finish(self, surroundings: Mapping[str, Any]) -> str:
        """Note what the run found out. Returns what went wrong, '' for nothing."""
        try:
            found = read_history(self.run.folder / "metrics.jsonl").test
            if self._process.returncode or not found:
                return last_line(self.output) or f"status {self._process.returncode}"
            numbers = {name: found[name] for name in (*TRAINED, "num_videos", "num_failed")}
            write_facts(self.run.folder, {**numbers, **read_facts(self.run.folder), **surroundings})
            return ""
        finally:
            os.close(self._lock)

    def ask_to_stop(self) -> None:
        self._signal(signal.SIGTERM)

    def _signal(self, signum: signal.Signals) -> None:
        """Not by Popen, which would take the status of an ended process from `has_ended`.

        Until that has it, nobody else can have its number.
        """
        os.kill(self.pid, signum)

    def end(self) -> None:
        """Wait until it has saved its state; not for ever."""
        deadline = time.monotonic() + GRACE_SECONDS
        while not self.has_ended():
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
                self.has_ended(wait=True)
                break
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os.close(self._lock)


def environment(run: Run) -> dict[str, str]:
    """Of the process: on a CPU one thread, because several runs share the cores."""
    return {**os.environ} | ({} if run.resolved.NUM_GPUS else {"OMP_NUM_THREADS": "1"})


def carry_out(
    runs: Sequence[Run], *, jobs: int, program: Path, surroundings: Mapping[str, Any]
) -> dict[str, str]:
    """Carry out the runs that are not done, `jobs` at a time.

    Returns:
        What went wrong, by the run's name; the other runs go on.

    Raises:
        Interrupted: a signal asked to stop; the runs that had begun have saved their state.
    """
    waiting = [run for run in runs if not is_done(read_facts(run.folder))]
    count, done, waits = len(waiting), 0, False
    running: list[Job] = []
    failed: dict[str, str] = {}
    with StopSignals() as stop, stop.deferred(), progress(count, "runs", "run") as bar:
        try:
            while (waiting or running) and not stop.signum:
                begin(waiting, running, jobs, program)
                if not waits and not running and waiting:
                    waits = True
                    say(f"waiting for another process, which is at {waiting[0].folder}")
                time.sleep(SECONDS_BETWEEN_LOOKS)
                for job in [job for job in running if job.has_ended()]:
                    running.remove(job)
                    done += 1
                    reason = job.finish(surroundings)
                    if reason:
                        failed[job.run.name] = f"{reason} (all of it: {job.output})"
                    say(f"{done}/{count} {job.run.name}: {reason or outcome(job.run)}")
                    bar.update()
        finally:
            for job in running:
                job.ask_to_stop()
            for job in running:
                job.end()
        if stop.signum:
            say("stopped: what had begun is saved; the same command goes on")
    return failed


def begin(waiting: list[Run], running: list[Job], jobs: int, program: Path) -> None:
    """Start what may be started now; what another tool is at is left for later."""
    for run in list(waiting):
        if len(running) >= jobs:
            return
        lock = locked(run.folder)
        if lock is None:
            continue
        waiting.remove(run)
        if is_done(read_facts(run.folder)):  # by another tool, meanwhile
            os.close(lock)
        else:
            running.append(Job(run, program, lock))


def locked(folder: Path) -> int | None:
    """A descriptor that holds the folder for us and our child; None where it is held already."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): name other --runs"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def outcome(run: Run) -> str:
    facts = read_facts(run.folder)
    return f"top-1 {facts['top1_acc']:.2f} % in {facts['seconds']:.0f} s"


def last_line(output: Path) -> str:
    lines = output.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
