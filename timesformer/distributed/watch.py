"""What ends a run that hangs, with a sentence that names the process and where it stood.

Each process says where it is, once a second, through a store that all can reach. The main process's
ears hear everybody, the others' only the main process, so that traffic grows with the number of
processes and not with its square. A run hangs when nobody has got any further for so long as
HANG_TIMEOUT_MINUTES says; who waits for others that still work does not hang.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch.distributed as dist

from timesformer.distributed.judge import Judge, Word, duration, ranks

log = logging.getLogger("timesformer")

HUNG = os.EX_TEMPFAIL  # the status with which the processes of a hung run leave: try again

SECONDS_BETWEEN_WORDS = 1.0
# After so many words that did not come, something is wrong with who should have spoken.
SILENCE = 5
# What is left of a run whose store is gone ends by itself sooner; this is for what hangs.
SECONDS_WITHOUT_STORE = 60.0
SECONDS_TO_SPEAK = 15.0

WHAT_TO_DO = "Start again to continue from the newest checkpoint."

# What gloo, NCCL and the store say when the other side is gone; all else they say is a defect.
LOST = (
    "closed by peer",
    "reset by peer",
    "socket closed",
    "broken pipe",
    "connection refused",
    "connection was likely closed",
    "no route to host",
    "timed out",
    "timeout",
    "connectfullmesh",
    "remote process",
    "got 0 bytes",
)


@dataclass
class _Position:
    """Where this process is. Written by its main thread, read by the thread that speaks."""

    text: str = "the start"
    doing: str = ""
    beats: int = 0


_here = _Position()


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Inside, the position is that of the last `Watch.at`, and `what`."""
    before, _here.doing = _here.doing, what
    _here.beats += 1
    try:
        yield
    finally:
        _here.doing = before
        _here.beats += 1


class Watch:
    """Where a process is; of a process that is alone, nobody asks."""

    def at(self, text: str) -> None:
        """The run has got to `text`, such as ``epoch 3, step 17/100``; costs next to nothing."""
        _here.text = text
        _here.doing = ""
        _here.beats += 1

    def sentence(self, error: BaseException) -> str | None:
        """What to say of an error that came of losing another process; None for other errors."""
        return None

    def close(self, last_word: str = "") -> None:
        """Stop watching. `last_word`: why this process ends before its time."""


class GroupWatch(Watch):
    """One process of several: two threads, of which one speaks and hears, the other judges.

    The first may block for ever where the network is gone; the second never touches it.

    Args:
        store: a connection of its own, with keys of its own.
        limit: seconds.
    """

    def __init__(self, store: dist.Store, rank: int, world_size: int, limit: float) -> None:
        self._store, self._rank, self._limit = store, rank, limit
        self._interval = min(SECONDS_BETWEEN_WORDS, limit / 10)
        self._everybody, self._judge = range(world_size), Judge(world_size)
        self._hears_all = rank == 0
        self._heard: dict[int, Word] = {}
        self._exchanges = 0
        self._is_broken = self._is_ending = False
        self._last_word = self._verdict = ""
        self._closing = threading.Event()
        self._now = self._exchanged_at = 0.0
        self._speaker = threading.Thread(target=self._speak, name="watch speaks", daemon=True)
        self._speaker.start()
        threading.Thread(target=self._look, name="watch judges", daemon=True).start()

    def close(self, last_word: str = "") -> None:
        self._last_word = last_word
        self._closing.set()
        self._speaker.join(SILENCE * self._interval)

    def sentence(self, error: BaseException) -> str | None:
        if not is_lost_connection(error):
            return None
        place = where()
        self._hears_all = True
        for _ in range(2 * SILENCE):  # until who is gone has been silent long enough to tell
            if self._is_broken or self._gone():
                break
            time.sleep(self._interval)
        while self._is_ending:  # the loss is the end of a hung run, which is being said
            time.sleep(self._interval)
        own = f"rank {self._rank}, at '{place}': {first_sentence(error)}"
        return f"{self._loss()} ({own}). {WHAT_TO_DO}"

    def _gone(self) -> list[int]:
        """Who has left or fallen silent, as far as can be told."""
        silence = SILENCE * self._interval
        if self._now - self._exchanged_at > silence:
            return []
        return self._judge.silent(self._now, silence) or self._judge.left()

    def _loss(self) -> str:
        if self._is_broken:
            return "the process that serves the run's store is gone, and rank 0 with it"
        gone = self._gone()
        if not gone:
            return "the connection to another process broke"
        place = self._judge.words[gone[0]].place
        if self._judge.words[gone[0]].has_left:
            return f"{ranks(gone)} ended before its time: {place}"
        return f"the run has lost {ranks(gone)}: stopped, dead or cut off, last at '{place}'"

    def _speak(self) -> None:
        try:
            self._exchange()
            while not self._closing.wait(self._interval):
                self._exchange()
            self._say(Word(beats=-1, place=self._last_word or "the end", has_left=True))
        except RuntimeError:  # said by the one who judges, if the run does not end by itself
            self._is_broken = True

    def _exchange(self) -> None:
        self._say(Word(self._exchanges, _here.beats, where(), verdict=self._verdict))
        keys = [str(rank) for rank in (self._everybody if self._hears_all else [0])]
        if not self._store.check(keys):  # `multi_get` would wait for those who have not spoken yet
            keys = [key for key in keys if self._store.check([key])]
        words = map(Word.unpack, self._store.multi_get(keys))
        self._heard = dict(zip(map(int, keys), words, strict=True))
        self._exchanges += 1

    def _say(self, word: Word) -> None:
        self._store.set(str(self._rank), word.pack())

    def _look(self) -> None:
        last, exchanges = time.monotonic(), 0
        while not self._closing.wait(self._interval):
            # Stopped by SIGSTOP, or by a Slurm that suspends the job, nobody gets any further, but
            # nobody hangs: the clock stands still, too.
            passed, last = time.monotonic() - last, time.monotonic()
            self._now += min(passed, SILENCE * self._interval)
            if self._exchanges != exchanges:
                exchanges, self._exchanged_at = self._exchanges, self._now
                self._judge.hear(self._heard, self._now)
            if verdict := self._judgement():
                self._leave(verdict)

    def _judgement(self) -> str:
        """What is wrong with the run, as far as this process can tell; '' if nothing is."""
        unheard, now = self._now - self._exchanged_at, self._now
        if self._is_broken:
            patient = unheard <= min(self._limit, SECONDS_WITHOUT_STORE)
            return "" if patient else f"{self._loss()}."
        # The main process decides first: it knows everybody.
        limit = self._limit if self._rank == 0 else self._limit * 1.1 + SILENCE * self._interval
        if unheard > limit:
            return (
                f"nothing has been heard from the run's store for {duration(unheard)}: the machine "
                "that serves it, rank 0's, is dead or cut off, or a process there is stopped."
            )
        if self._rank == 0:
            return self._judge.verdict(now, limit)
        if 0 in self._judge.silent(now, limit):
            return f"{self._judge.describe([0], now, silent=True)}."
        return self._judge.words[0].verdict

    def _leave(self, verdict: str) -> None:
        """Say it, tell the others, and end: the main thread may sit where no exception reaches."""
        self._is_ending = True
        timer = threading.Timer(SECONDS_TO_SPEAK, os._exit, [HUNG])  # if the log hangs, too
        timer.daemon = True
        timer.start()
        log.error(
            "%s HANG_TIMEOUT_MINUTES is %g. Rank %d ends here, at '%s'. %s\n%s",
            verdict,
            self._limit / 60,
            self._rank,
            where(),
            WHAT_TO_DO,
            stack_of_main_thread(),
        )
        self._verdict = verdict
        if self._rank == 0:
            time.sleep(SILENCE * self._interval)  # until all have heard it
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(HUNG)


def where() -> str:
    return f"{_here.text}, {_here.doing}" if _here.doing else _here.text


def first_sentence(error: BaseException) -> str:
    """Without gloo's good wishes."""
    return (str(error) or type(error).__name__).splitlines()[0].split(". ")[0]


def is_lost_connection(error: BaseException) -> bool:
    """Whether this error came of a process, or a machine, that is gone."""
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    about_processes = isinstance(error, dist.DistError) or "gloo" in text or "nccl" in text
    return about_processes and any(words in text for words in LOST)


def stack_of_main_thread() -> str:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return "".join(traceback.format_stack(frame)).rstrip()
