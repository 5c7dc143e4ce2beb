"""Checkpoints written in the background, while training goes on.

A thread of its own first copies the tensors (`Snapshot`), while the main thread computes the next
forward and backward, which read them but change none; `CheckpointWriter.before_change` keeps the
optimiser waiting until that is done. Then the thread serialises, hashes, syncs and renames.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from torch import Tensor

from timesformer.checkpoints import files
from timesformer.checkpoints.snapshot import Snapshot, frozen
from timesformer.errors import UserError

log = logging.getLogger("timesformer")

KEPT_WITHIN_EPOCHS = 2
SECONDS_WORTH_A_WORD = 1.0
GOES_ON = (
    "the checkpoint %s could not be written (%s); those before it are whole. The run goes on, and "
    "ends if the next one cannot be written either."
)


class Failure(NamedTuple):
    """A write that failed."""

    path: Path
    error: OSError


class Outcome:
    """How the last write went. A failure is a warning, two in a row are an end."""

    def __init__(self) -> None:
        self.failure: Failure | None = None

    def note(self, failure: Failure | None, *, is_last: bool = False) -> None:
        """The next outcome, None for a success; UserError for a second failure."""
        before, self.failure = self.failure, failure
        if failure and before:
            raise files.not_written(*failure, also=", nor could the one before it")
        if failure and not is_last:
            log.warning(GOES_ON, *failure)

    def close(self) -> None:
        """UserError if the last write failed: none comes after it that could do better."""
        if self.failure:
            raise files.not_written(*self.failure)


class CheckpointWriter:
    """Writes one checkpoint at a time. A write that fails is a warning, the next one, too, an end.

    As a context manager it closes, and after an error only waits.
    """

    def __init__(self, *, keep: int = 0, background: bool = True) -> None:
        """
        Args:
            keep: how many checkpoints of whole epochs stay, the newest; 0 for all.
            background: False for writing within `save`, which takes no memory for a copy.
        """
        self.keep = keep
        self.background = background
        self._snapshot = Snapshot()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._job: Future[Failure | None] | None = None
        self._outcome = Outcome()

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except UserError as second:  # which must not hide the first
            log.warning("%s", second)

    def save(
        self,
        checkpoint: Mapping[str, Any],
        paths: Sequence[Path],
        facts: Mapping[str, Any],
        *,
        buffers: Iterable[Tensor] = (),
    ) -> None:
        """Write `checkpoint` to each of `paths`; waits for the write before this one.

        Args:
            checkpoint: nested dicts, lists and tuples of tensors and plain values.
            paths: the first is written, then the others become the same file, in this order, which
                is what a kill in between leaves. Older checkpoints beside them that are not to be
                kept are removed when all are whole.
            facts: what the JSON beside it shall tell.
            buffers: tensors of the model that a forward changes, which are copied at once.

        Raises:
            UserError: two writes in a row have failed.
        """
        self._finish_former(paths[0])
        if self.background:
            tree = frozen(checkpoint, buffers)
            self._snapshot.begin()
            self._job = self._thread.submit(self._copy_and_write, tree, paths, facts)
        else:
            self._job = self._thread.submit(self._write, checkpoint, paths, facts)
            self.wait()

    def before_change(self) -> None:
        """Call it before parameters, optimiser state or averages change: it lets a copy finish.

        Raises:
            UserError: two writes in a row have failed.
        """
        self._snapshot.wait()
        self.check()

    def check(self) -> None:
        """Look, without waiting, at how the last write went; UserError if two in a row failed."""
        if self._job is not None and self._job.done():
            self._finish()

    def wait(self) -> None:
        """For the write that is under way; UserError if two in a row failed."""
        self._finish()

    def close(self) -> None:
        """Wait for the last write, and end; UserError if it failed."""
        self._thread.shutdown()
        self._finish(is_last=True)
        self._outcome.close()

    def _finish_former(self, path: Path) -> None:
        start = time.monotonic()
        self.wait()
        waited = time.monotonic() - start
        if waited > SECONDS_WORTH_A_WORD:
            log.info("%s had to wait %.1f s for the checkpoint before it", path.name, waited)

    def _finish(self, *, is_last: bool = False) -> None:
        if self._job is not None:
            job, self._job = self._job, None
            self._outcome.note(job.result(), is_last=is_last)

    def _copy_and_write(
        self, tree: Any, paths: Sequence[Path], facts: Mapping[str, Any]
    ) -> Failure | None:
        return self._write(self._snapshot.take(tree), paths, facts)

    def _write(
        self, checkpoint: Mapping[str, Any], paths: Sequence[Path], facts: Mapping[str, Any]
    ) -> Failure | None:
        path = paths[0]
        try:
            files.write(checkpoint, path, facts)
            for other in paths[1:]:
                files.give_second_name(path, other)
        except OSError as error:
            return Failure(path, error)
        remove_superfluous(paths, self.keep)
        return None


def remove_superfluous(written: Sequence[Path], keep: int) -> None:
    """What cannot be removed stays, with a warning."""
    for old in (old for path in written for old in superfluous(path, keep)):
        try:
            files.remove(old)
        except OSError as error:
            log.warning("the old checkpoint %s could not be removed (%s)", old, error)


def superfluous(written: Path, keep: int) -> list[Path]:
    """What may go now that `written` is whole; nothing for the best one, which has no position.

    Newer ones do not count: the run has found them broken, or it would not write this one.
    """
    now = files.position(written)
    places = {path: files.position(path) for path in files.checkpoints_in(written.parent)}
    older = [when for when in places.values() if now and when and when < now]
    # A place may have two names: one of them in shares.
    whole = [when for when in dict.fromkeys(older) if when[1] < 0]
    within = [when for when in dict.fromkeys(older) if when[1] >= 0]
    if files.is_of_whole_epoch(written):
        gone = within + (whole[keep - 1 :] if keep else [])
    else:
        gone = within[KEPT_WITHIN_EPOCHS - 1 :] + (whole[keep:] if keep else [])
    return [path for path, when in places.items() if when in gone]
