"""One run at a time in one OUTPUT_DIR.

The lock is a POSIX record lock on ``OUTPUT_DIR/.lock``, which belongs to a process and to nothing
else: it ends with that process however it ends, a forked loader worker does not inherit it, and it
holds between the machines of an NFS file system. The text in the file is for the sentence alone.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from timesformer.errors import UserError

log = logging.getLogger("timesformer")

NAME = ".lock"
SECONDS_BETWEEN_TRIES = 0.2

# A predecessor may be on its way out. One with our own job number must be: Slurm runs a job once,
# and learns of a lost node before the file server forgets its locks, or the node itself gives up.
PATIENCE = 10.0
PATIENCE_WITH_OWN_JOB = 120.0

HELD = (errno.EACCES, errno.EAGAIN)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)

# Folders this process holds: the system would let it lock them again, and unlock both at once.
_own: set[Path] = set()


class OutputLock:
    """Holds OUTPUT_DIR for this process, in a ``with`` block or from `take` to `release`."""

    def __init__(
        self,
        output_dir: str,
        patience: float = PATIENCE,
        patience_with_own_job: float = PATIENCE_WITH_OWN_JOB,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """Patience: seconds to wait for a run that is on its way out, or for one of our own job;
        `waiting` is called again and again meanwhile.
        """
        self.folder = Path(output_dir).resolve()
        self.patience = patience
        self.patience_with_own_job = patience_with_own_job
        self.waiting = waiting
        self._descriptor: int | None = None

    def __enter__(self) -> OutputLock:
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.release()

    def take(self) -> None:
        """Wait for whoever holds the folder, as long as patience lasts; make it if it is missing.

        Raises:
            UserError: another run holds the folder; or it cannot be written to.
        """
        if self.folder in _own:
            raise in_use(self.folder, me())
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / NAME, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._wait(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise UserError(
                f"OUTPUT_DIR {self.folder} cannot be written to or locked ({error})"
            ) from error
        self._descriptor = descriptor
        _own.add(self.folder)

    def release(self) -> None:
        """Let the next one in. The file stays: to remove it could pull it from under another."""
        if self._descriptor is None:
            return
        os.close(self._descriptor)  # which unlocks
        self._descriptor = None
        _own.discard(self.folder)

    def _wait(self, descriptor: int) -> None:
        start, said = time.monotonic(), False
        while not self._locked(descriptor):
            holder = read_holder(descriptor)
            ours = holder.get("job") not in ("", None) and holder.get("job") == me()["job"]
            patience = self.patience_with_own_job if ours else self.patience
            if time.monotonic() - start >= patience:
                raise in_use(self.folder, holder)
            if not said:
                sentence = "OUTPUT_DIR %s is held by %s: waiting up to %.0f s for it to end"
                log.info(sentence, self.folder, words(holder), patience)
                said = True
            self.waiting()
            time.sleep(SECONDS_BETWEEN_TRIES)

    def _locked(self, descriptor: int) -> bool:
        """Whether the lock is ours now; True, with a warning, where there are no locks."""
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                return False
            if error.errno not in NO_LOCKS:
                raise
            log.warning(
                "the file system of OUTPUT_DIR %s knows no locks (%s): nothing keeps a second run "
                "out of it",
                self.folder,
                error,
            )
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps(me()) + "\n").encode(), 0)
        return True


def me() -> dict[str, Any]:
    """What the lock's file says of its holder."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "job": own_job(os.environ),
        "since": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
    }


def own_job(environ: Mapping[str, str]) -> str:
    """The Slurm job this process is part of; '' outside of one."""
    return environ.get("SLURM_JOB_ID", "")


def read_holder(descriptor: int) -> dict[str, Any]:
    """Empty where the holder has not written it yet."""
    try:
        holder = json.loads(os.pread(descriptor, 2**12, 0))
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def words(holder: Mapping[str, Any]) -> str:
    if not holder:
        return "another run"
    job = f", Slurm job {holder['job']}" if holder.get("job") else ""
    return f"process {holder.get('pid')} on {holder.get('host')}{job}"


def in_use(folder: Path, holder: Mapping[str, Any]) -> UserError:
    since = f" since {holder['since']}" if holder.get("since") else ""
    return UserError(
        f"OUTPUT_DIR {folder} is in use by {words(holder)}{since}. Wait for that run, end it, or "
        "choose another OUTPUT_DIR."
    )
