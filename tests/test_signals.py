"""Signals as requests: in real processes, which really get them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from timesformer.errors import Interrupted
from timesformer.signals import STOPS, StopSignals, signum_of


def send(stop: signal.Signals) -> None:
    """To this process, and let the interpreter take notice."""
    os.kill(os.getpid(), stop)
    time.sleep(0.02)


def deferred(inside: Callable[[StopSignals], None]) -> Interrupted:
    """What comes of the signals that come `inside`, when that is over."""
    with pytest.raises(Interrupted) as interruption, StopSignals() as stops, stops.deferred():
        inside(stops)
    return interruption.value


@pytest.mark.parametrize("stop", STOPS)
def test_a_signal_ends_what_is_not_deferred(stop: signal.Signals) -> None:
    before = signal.getsignal(stop)
    with pytest.raises(Interrupted) as interruption, StopSignals():
        send(stop)
    assert (interruption.value.signum, interruption.value.saved) == (stop, False)
    assert signal.getsignal(stop) is before


@pytest.mark.parametrize("stop", STOPS)
def test_a_deferred_signal_waits_to_be_asked_for(
    stop: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    def inside(stops: StopSignals) -> None:
        assert (stops.wish, stops.signum) == (0, 0)
        send(stop)
        assert stops.signum == signum_of(stops.wish) == stop

    assert deferred(inside).signum == stop, "it counts at the end, if nobody has asked for it"
    assert f"{stop.name}: saving after this step, then leaving" in caplog.text


def test_what_unwinds_is_not_stopped_in_turn() -> None:
    """Launchers and clusters deliver a signal more than once."""
    unwound = []

    def stopped() -> None:
        try:
            send(signal.SIGUSR1)
        finally:
            send(signal.SIGUSR1)
            unwound.append(True)

    with pytest.raises(Interrupted), StopSignals():
        stopped()
    assert unwound


def test_no_except_clause_for_errors_holds_it_up() -> None:
    assert not issubclass(Interrupted, Exception)


def test_a_wish_to_be_requeued_wins() -> None:
    def inside(stops: StopSignals) -> None:
        for stop in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
            send(stop)

    assert deferred(inside).signum == signal.SIGUSR2


def test_outside_the_main_thread_signals_are_others_business() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def inside() -> None:
        with StopSignals():
            found.append(signal.getsignal(signal.SIGTERM))

    found: list[object] = []
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [before]


HANGING = """
import sys, time
from timesformer.signals import StopSignals
with StopSignals() as stops, stops.deferred():
    print("ready", flush=True)
    time.sleep(60)
"""


def started(program: str) -> subprocess.Popen[str]:
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )


def test_a_second_ctrl_c_ends_a_process_that_hangs() -> None:
    with started(HANGING) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # the same press, passed on by a launcher
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.7)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 128 + signal.SIGINT


CHILD = """
import multiprocessing, os, time
from timesformer.signals import blocked, obey_parent_alone

def work():
    obey_parent_alone()
    print(os.getpid(), flush=True)
    time.sleep(60)

print("ready", flush=True)
child = multiprocessing.get_context("fork").Process(target=work)
with blocked():
    child.start()
input()
child.terminate()
child.join(10)
print(child.exitcode, flush=True)
"""


def test_a_child_is_ended_by_its_parent_alone() -> None:
    with started(CHILD) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        child = int(process.stdout.readline())
        for stop in STOPS:
            os.kill(child, stop)
        time.sleep(0.3)
        os.kill(child, 0)  # it lives: this test is not its parent
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "0\n"
        assert process.wait(10) == 0


PARENT = """
import multiprocessing, time
from timesformer.signals import obey_parent_alone

def work():
    obey_parent_alone()
    time.sleep(60)

children = [multiprocessing.get_context("fork").Process(target=work) for _ in range(3)]
for child in children:
    child.start()
print(*[child.pid for child in children], flush=True)
time.sleep(60)
"""


def test_children_end_with_a_parent_that_is_killed() -> None:
    with started(PARENT) as process:
        assert process.stdout is not None
        children = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        assert len(children) == 3
        process.kill()
        assert psutil.wait_procs(children, timeout=10)[1] == []
