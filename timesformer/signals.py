"""Signals that ask a run to stop: noticed at once, obeyed where nothing is lost.

Ctrl-C sends SIGINT; `kill`, `scancel` and a Slurm that needs the place send SIGTERM; SIGUSR1 and
SIGUSR2 are what clusters are told to send ahead of a time limit or a preemption.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType, TracebackType
from typing import Any

from timesformer.errors import Interrupted

log = logging.getLogger("timesformer")

# Of several, the later in this order counts: submitit and some clusters send SIGTERM ahead of what
# they mean, and who cancels a job never sends the last two.
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

# A terminal and a launcher that passes signals on may both deliver the same Ctrl-C.
SECONDS_OF_ONE_PRESS = 0.5


@contextmanager
def blocked() -> Iterator[None]:
    """Processes that this thread starts inside never see the stop signals.

    Slurm sends its signals to every process of a step. A loader worker would die of them, or obey a
    handler that it inherited.
    """
    # Python starts a helper with the first such process, and unblocks two of the signals then.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process, which `multiprocessing` started, as soon as its parent has ended."""
    threading.Thread(target=_await_end_of_parent, daemon=True).start()


def obey_parent_alone() -> None:
    """End with the parent, or by its SIGTERM, and by no other stop signal."""
    end_with_parent()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    threading.Thread(target=_await_signal_of_parent, daemon=True).start()


def _parent() -> multiprocessing.process.BaseProcess:
    parent = multiprocessing.parent_process()
    assert parent is not None
    return parent


def _await_end_of_parent() -> None:
    _parent().join()
    os._exit(1)


def _await_signal_of_parent() -> None:
    parent = _parent()
    while True:
        if hasattr(signal, "sigwaitinfo"):
            sender: int | None = signal.sigwaitinfo({signal.SIGTERM}).si_pid
        else:  # macOS does not say who sent it
            signal.sigwait({signal.SIGTERM})
            sender = parent.pid
        if sender == parent.pid:
            os._exit(0)


class StopSignals:
    """While entered, stop signals raise `Interrupted`, or wait inside `deferred` to be asked for.

    A second Ctrl-C ends the process on the spot, wherever it hangs. The handlers that were there
    come back on leaving. Outside the main thread, where Python has no say in signals, this does
    nothing.
    """

    def __init__(self) -> None:
        self.wish = 0  # the place in STOPS, from 1, of what came; 0 for nothing
        self._is_deferred = self._is_raised = self._said = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is not threading.main_thread():
            return self
        # The interpreter writes each signal's number there even while the main thread sits in a
        # collective, where no handler of Python's can run.
        self._arrivals, self._wakeup = socket.socketpair()
        self._wakeup.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self._before = {stop: signal.signal(stop, self._handle) for stop in STOPS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._before:
            return
        for stop, handler in self._before.items():
            signal.signal(stop, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        # Ends the watching thread, once it has said all. Closing alone would not: processes that
        # were forked meanwhile have copies.
        self._wakeup.shutdown(socket.SHUT_RDWR)
        self._wakeup.close()
        self._watcher.join()

    @property
    def signum(self) -> int:
        """The signal that came, 0 for none."""
        return signum_of(self.wish)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, a signal is noted and no more: the caller asks for `wish`, saves, raises."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
        if self.signum:  # it came after the caller had asked for the last time
            raise Interrupted(self.signum, saved=False)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self._note(signal.Signals(signum))
        # Once: what unwinds, and gives the job back to the queue, is not to be stopped in turn.
        if not self._is_deferred and not self._is_raised:
            self._is_raised = True
            raise Interrupted(self.signum, saved=False)

    def _watch(self) -> None:
        presses: list[float] = []
        while numbers := self._arrivals.recv(64):
            for number in numbers:
                if number in STOPS:
                    self._arrived(signal.Signals(number), presses)
        self._arrivals.close()

    def _arrived(self, stop: signal.Signals, presses: list[float]) -> None:
        """Say what came; on a second Ctrl-C, end."""
        now = time.monotonic()
        if stop == signal.SIGINT:
            if presses and now - presses[0] > SECONDS_OF_ONE_PRESS:
                log.warning("interrupted again: leaving at once, nothing more is saved")
                os._exit(128 + stop)
            presses.append(now)
        if not self._said and self._is_deferred:
            self._said = True
            log.warning("%s: saving after this step, then leaving", stop.name)
        self._note(stop)

    def _note(self, stop: signal.Signals) -> None:
        self.wish = max(self.wish, STOPS.index(stop) + 1)


def signum_of(wish: int) -> int:
    """The signal that a `StopSignals.wish`, of this process or another, stands for; 0 for none."""
    return int(STOPS[wish - 1]) if wish else 0
