"""How far a tool is, and how long it will take yet."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")

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


class _Lines(tqdm):
    """Writes each state on a line of its own, where `tqdm` would write over the one before."""

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        self.fp.write(f"{self}\n")
        self.fp.flush()
        return True

    def close(self) -> None:
        self.disable = True  # the end is said by the tool itself
