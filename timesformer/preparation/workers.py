"""One function over many items, in processes that may die or hang without harm to the rest."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

import cv2

from timesformer.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Fresh interpreters: a forked one may hang on locks of threads that it does not have.
_PROCESSES = multiprocessing.get_context("spawn")


class Lost(str):
    """Why an item has no result: its process died, or took too long."""


@dataclass(frozen=True)
class Crew:
    """Processes that work.

    Args:
        workers: how many; each has one item at a time.
        timeout: seconds for one item, after which its process is ended.
    """

    workers: int
    timeout: float

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UserError(f"--workers is {self.workers}; it must be 1 or more.")
        if not 0 < self.timeout < float("inf"):
            raise UserError(f"--timeout is {self.timeout:g}; it must be some seconds.")

    def outcomes(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[int, Result | Lost]]:
        """The index and result of every item, in the order in which they are done.

        Args:
            function: what to do; importable, or a `partial` of such.
            items: may be pickled, as may the results.

        Raises:
            UserError: as the function raised it.
            RuntimeError: the function raised anything else; holds its traceback.
        """
        waiting = deque(range(len(items)))
        busy: list[_Worker[Item, Result]] = []
        try:
            busy.extend(_Worker(function) for _ in range(min(self.workers, len(items))))
            while busy:
                for worker in _heard_from(busy):
                    index, outcome = worker.index, worker.answer(self.timeout)
                    if index is not None and outcome is not None:
                        yield index, outcome
                    if waiting and not isinstance(outcome, Lost):
                        worker.give(waiting[0], items[waiting.popleft()], self.timeout)
                        continue
                    worker.end()
                    busy.remove(worker)
                    if waiting:
                        busy.append(_Worker(function))
        finally:
            for worker in busy:
                worker.end()


@dataclass(frozen=True)
class How:
    """How the work is done; none of it changes what is made.

    Args:
        crew: who does it; who takes longer for a video has not read it.
        max_failed_fraction: share of the clips that may be unreadable.
        overwrite: replace what was made with other settings.
    """

    crew: Crew
    max_failed_fraction: float = 0.05
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.max_failed_fraction <= 1:
            raise UserError(
                f"--max-failed-fraction is {self.max_failed_fraction:g}; it must be from 0 to 1."
            )


def how(args: Namespace) -> How:
    """From the options of a command line."""
    return How(Crew(args.workers, args.timeout), args.max_failed_fraction, args.overwrite)


class _Worker(Generic[Item, Result]):
    """A process, and what it is working on."""

    def __init__(self, function: Callable[[Item], Result]) -> None:
        self.pipe, theirs = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=_serve, args=(function, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.index: int | None = None
        self.deadline = float("inf")

    def give(self, index: int, item: Item, timeout: float) -> None:
        self.index, self.deadline = index, time.monotonic() + timeout
        with suppress(OSError):  # it died just now, as its answer will tell
            self.pipe.send(item)

    def answer(self, timeout: float) -> Result | Lost | None:
        """What became of the item, None from a process that has just started."""
        if not self.pipe.poll():
            self.end()
            return Lost(f"it took longer than {timeout:g} seconds")
        try:
            error, result = self.pipe.recv()
        except EOFError:
            return Lost(self._death())
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def _death(self) -> str:
        self._process.join()
        code = self._process.exitcode or 0
        how = signal.strsignal(-code) if code < 0 else f"exit status {code}"
        if self.index is None:
            raise RuntimeError(f"a worker process could not start ({how}); it says why above")
        return f"the process that read it died ({how})"


def _heard_from(crew: Sequence[_Worker[Any, Any]]) -> list[_Worker[Any, Any]]:
    """Those that have something to say, or should have said it by now; waits for one."""
    soonest = min(worker.deadline for worker in crew)
    left = None if soonest == float("inf") else max(soonest - time.monotonic(), 0)
    speaking = wait([worker.pipe for worker in crew], left)
    now = time.monotonic()
    return [worker for worker in crew if worker.pipe in speaking or worker.deadline <= now]


def _serve(function: Callable[[Any], Any], pipe: Connection[Any, Any]) -> None:
    """What a process does: answer each item, until the other side of the pipe is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that gave the work
    cv2.setNumThreads(1)
    try:
        pipe.send((None, None))
        while True:
            pipe.send(_attempt(function, pipe.recv()))
    except (EOFError, OSError):
        os._exit(0)


def _attempt(function: Callable[[Any], Any], item: Any) -> tuple[Exception | None, Any]:
    try:
        return None, function(item)
    except UserError as error:
        return error, None
    except Exception:
        return RuntimeError(f"while working on {item}:\n{traceback.format_exc()}"), None
