"""The folder in which a new data set is made, by one run at a time."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timesformer.errors import UserError

ASIDE = ".partial"  # the folder in it for what is not whole yet

STAYS = "stopped. What is done stays: start the same command again to continue."


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Hold the folder against other runs; a sentence for what may happen to it meanwhile.

    Ctrl-C comes out as a KeyboardInterrupt that says how to continue.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"Another run is writing to '{out}': wait for it.") from None
            shutil.rmtree(out / ASIDE, ignore_errors=True)  # of a run that was killed
            (out / ASIDE).mkdir()
            try:
                yield
            finally:
                shutil.rmtree(out / ASIDE, ignore_errors=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(STAYS) from None
    except OSError as error:
        raise UserError(f"'{out}' cannot be written to ({error}): name another --out.") from error
