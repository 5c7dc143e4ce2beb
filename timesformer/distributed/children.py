"""Processes of our own: started, passed the signals that come, and never left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any

from timesformer.errors import Interrupted, UserError
from timesformer.signals import STOPS, blocked, end_with_parent

# Forked by a server that has imported what this process has, once for all of them, and has done
# nothing else: what CUDA and threads leave in this process does not survive a fork.
_PROCESSES = multiprocessing.get_context("forkserver")

# The status of a child that may still live: the server, which would know, was killed.
UNKNOWN = 255


def in_children(
    function: Callable[[int], None], count: int, grace: float, modules: Sequence[str] = ()
) -> None:
    """Call ``function(i)`` for i below `count`, each in a process of its own, and wait for them.

    When one fails, the others, which may sit in a collective, have `grace` seconds to end.
    `modules` are what they will import; the first call has them imported once for all.

    Raises:
        UserError, Interrupted: as the first child raised it that did not end well.
        UserError: a child was killed.
        SystemExit: a child failed otherwise; its own output says why.
    """
    _start_server(modules)
    children: list[_Child] = []
    with _passing_on(children) as passed:
        try:
            for index in range(count):
                children.append(_Child(function, index))
                for signum in passed:  # while it was being started
                    children[-1].send(signum)
            _wait(children, grace)
        finally:
            for child in children:
                child.kill()
    failures = [child for child in children if child.status]
    if failures:
        raise _reason(failures, passed)


class _Child:
    """A process, and how it ended by itself."""

    def __init__(self, function: Callable[[int], None], index: int) -> None:
        self.index, self.ended_at = index, float("inf")
        self.error: BaseException | None = None
        self._pipe, theirs = _PROCESSES.Pipe(duplex=False)
        ours = multiprocessing.get_start_method()
        arguments = (function, index, theirs, ours, dict(os.environ))
        self.process = _PROCESSES.Process(target=_run, args=arguments)
        self.process.start()
        theirs.close()

    @property
    def status(self) -> int:
        return self.process.exitcode or 0

    def send(self, signum: int) -> None:
        if self.process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.process.pid or 0, signum)

    def kill(self) -> None:
        if self.status == UNKNOWN:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid or 0, signal.SIGKILL)
        self.process.kill()
        self.process.join()

    def note_its_end(self) -> None:
        self.process.join()
        self.ended_at = time.monotonic()
        with suppress(EOFError):
            if self._pipe.poll():
                message, signum, saved = self._pipe.recv()
                self.error = Interrupted(signum, saved=saved) if signum else UserError(message)

    def interruption(self, passed: Sequence[int]) -> Interrupted | None:
        """What made it end, if it was a signal: obeyed, or of ours and too early to be obeyed."""
        if -self.status in passed:
            return Interrupted(-self.status, saved=False)
        return self.error if isinstance(self.error, Interrupted) else None


def _wait(children: Sequence[_Child], grace: float) -> None:
    """Until all have ended, or one has not ended well and `grace` seconds have passed."""
    deadline = float("inf")
    running = list(children)
    while running and (left := deadline - time.monotonic()) > 0:
        wait([child.process.sentinel for child in running], None if left == float("inf") else left)
        for child in [child for child in running if not child.process.is_alive()]:
            running.remove(child)
            child.note_its_end()
            if child.status:
                deadline = min(deadline, time.monotonic() + grace)


def _reason(failures: Sequence[_Child], passed: Sequence[int]) -> BaseException:
    """What to raise for those who did not end well: the first decides, others fail of its end."""
    first = min(failures, key=lambda child: child.ended_at)
    interruption = first.interruption(passed)
    if interruption is None:
        return _fault(first)
    stops = [child.interruption(passed) for child in failures]
    saved = all(stop is not None and stop.saved for stop in stops)
    return Interrupted(interruption.signum, saved=saved)


def _fault(child: _Child) -> BaseException:
    if child.error is not None:
        return child.error
    if child.status == UNKNOWN:
        return UserError(
            "the process that had started those of the run on this machine was killed, and they "
            "with it. Start again to continue from the newest checkpoint."
        )
    if child.status > 0:
        return SystemExit(child.status)
    hint = ", often for want of memory: see the system's log" if child.status == -9 else ""
    return UserError(
        f"process {child.index} of this machine was ended by signal {-child.status} "
        f"({signal.strsignal(-child.status)}{hint}), and the others with it. Start again to "
        "continue from the newest checkpoint."
    )


@contextmanager
def _passing_on(children: Sequence[_Child]) -> Iterator[list[int]]:
    """Inside, the children get the signals that this process gets; yields the list of those."""
    passed: list[int] = []

    def pass_on(signum: int, frame: FrameType | None) -> None:
        passed.append(signum)
        for child in children:
            child.send(signum)

    if threading.current_thread() is not threading.main_thread():
        yield passed  # Python lets no other thread have a say in signals
        return
    before: dict[signal.Signals, Any] = {stop: signal.signal(stop, pass_on) for stop in STOPS}
    try:
        yield passed
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)


def _start_server(modules: Sequence[str]) -> None:
    """Have the process run from which children are forked, if it does not run yet.

    It does not see the stop signals, and so its children do not, until they can tell what came.
    """
    ours = __name__.partition(".")[0]
    imported = [name for name in sys.modules if name.partition(".")[0] == ours]
    forkserver.set_forkserver_preload(["__main__", *imported, *modules])
    with blocked():
        forkserver.ensure_running()


def _run(
    function: Callable[[int], None],
    index: int,
    pipe: Connection[Any, Any],
    start_method: str,
    environ: dict[str, str],
) -> None:
    """What a child does.

    The environment and the way in which its own children start, the loader's workers, are those of
    the process that asked for it, and not of the server that forked it.
    """
    os.environ.clear()
    os.environ.update(environ)
    multiprocessing.set_start_method(start_method, force=True)
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a traceback
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    try:
        function(index)
    except UserError as error:
        pipe.send((str(error), 0, False))
        sys.exit(1)
    except Interrupted as interruption:
        pipe.send(("", interruption.signum, interruption.saved))
        sys.exit(1)
