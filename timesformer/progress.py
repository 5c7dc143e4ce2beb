"""How far a tool is, and how long it will take yet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")
Begin = Callable[[str], None]
"""Says what begins, for people; what began before it is done."""

_SECONDS_BETWEEN_LINES_OF_A_LOG = 60


def progress(total: int, title: str, unit: str = "video") -> tqdm[Any]:
    """A bar on a terminal; elsewhere, as in the log of a job, a line once a minute."""
    if sys.stderr.isatty():
        return tqdm(total=total, desc=title, unit=unit, leave=False, dynamic_ncols=True)
    seconds = _SECONDS_BETWEEN_LINES_OF_A_LOG
    return _Lines(total=total, desc=title, unit=unit, mininterval=seconds, delay=seconds)


def counted(items: Collection[T], title: str, unit: str) -> Iterator[T]:
    """The items, one by one, and how many are done with."""
    with progress(len(items), title, unit) as bar:
        for item in items:
            yield item
            bar.update()


@contextmanager
def stages(total: int) -> Iterator[Begin]:
    """A bar over so many parts of a work that have names and cannot be counted themselves."""
    with progress(total, "", "stage") as bar:
        one_is_done = False

        def begin(name: str) -> None:
            nonlocal one_is_done
            bar.set_description(name, refresh=sys.stderr.isatty())
            bar.update(one_is_done)
            one_is_done = True

        yield begin


def say(words: str) -> None:
    """A line on stderr; on a terminal above the bar, where there is one."""
    if sys.stderr.isatty():
        tqdm.write(words, file=sys.stderr)
    else:  # where tqdm would write the state of the bar again, under each line
        print(words, file=sys.stderr, flush=True)


class _Lines(tqdm):
    """Writes each state on a line of its own, where `tqdm` would write over the one before."""

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        self.fp.write(f"{self}\n")
        self.fp.flush()
        return True

    def close(self) -> None:
        self.disable = True  # the end is said by the tool itself
