"""Checkpoints in shares, written by all processes together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

from timesformer.checkpoints import files
from timesformer.checkpoints.atomic import (
    TEMPORARY,
    HashedFile,
    discard,
    put_in_place,
    sha256_of,
    sha256_of_files,
    sync_folder,
)
from timesformer.checkpoints.sharded import PLAIN, SUFFIX, write_shares
from timesformer.checkpoints.writer import Failure, Outcome, remove_superfluous

log = logging.getLogger("timesformer")

# A slow disk is no fault; what hangs is ended by others.
PATIENCE = timedelta(days=1)


class ShardedWriter:
    """A `CheckpointWriter` of sharded state: all processes have one and call it alike.

    Training waits while each process writes its share.
    """

    def __init__(self, *, keep: int = 0) -> None:
        """`keep`: how many checkpoints of whole epochs stay, the newest; 0 for all."""
        self.keep = keep
        self._outcome = Outcome()
        # Of its own, on the CPU: what is said here never mixes with gradients.
        group = dist.new_group(backend="gloo", timeout=PATIENCE)
        assert isinstance(group, dist.ProcessGroup)  # every process is a member
        self._group = group
        self._is_main = dist.get_rank() == 0

    def __enter__(self) -> ShardedWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            self.close()

    def save(
        self,
        checkpoint: Mapping[str, Any],
        paths: Sequence[Path],
        facts: Mapping[str, Any],
        *,
        buffers: Iterable[Tensor] = (),
    ) -> None:
        """Write `checkpoint` to `paths`, which get the suffix of folders; see `CheckpointWriter`.

        Plain values, `facts` and `paths` are the first process's.

        Raises:
            UserError: two writes in a row have failed; in all processes.
        """
        folders = [path.with_suffix(SUFFIX) for path in paths]
        self._outcome.note(self._write(checkpoint, folders, facts))

    def before_change(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """UserError if the last write failed."""
        self._outcome.close()

    def _write(
        self, checkpoint: Mapping[str, Any], folders: Sequence[Path], facts: Mapping[str, Any]
    ) -> Failure | None:
        folder = folders[0]
        temporary = folder.with_name(folder.name + TEMPORARY)
        try:
            self._on_main(lambda: make_anew(temporary))
            plain = write_shares(checkpoint, temporary, self._group)
            hashes = self._hashes(temporary)
            self._on_main(lambda: self._complete(temporary, plain, hashes, folders, facts))
        except CheckpointException as error:
            return Failure(folder, self._of_the_disk(error, temporary))
        except OSError as error:
            return Failure(folder, error)
        return None

    def _on_main(self, do: Callable[[], None]) -> None:
        """`do` on the first process; its OSError in all of them."""
        box: list[OSError | None] = [None]
        if self._is_main:
            try:
                do()
            except OSError as error:
                box[0] = error
        dist.broadcast_object_list(box, src=0, group=self._group)
        if box[0] is not None:
            raise box[0]

    def _hashes(self, folder: Path) -> dict[str, str]:
        """Of all shares, each by the process that has just written it; on the first process."""
        own = {path.name: sha256_of(path) for path in folder.glob(f"__{dist.get_rank()}_*")}
        boxes: list[Any] | None = [None] * dist.get_world_size() if self._is_main else None
        dist.gather_object(own, boxes, dst=0, group=self._group)
        return {name: digest for box in boxes or [] for name, digest in box.items()}

    def _complete(
        self,
        temporary: Path,
        plain: Mapping[str, Any],
        hashes: dict[str, str],
        folders: Sequence[Path],
        facts: Mapping[str, Any],
    ) -> None:
        folder = folders[0]
        with HashedFile(temporary / PLAIN) as file:
            torch.save(plain, file)
            file.sync()
        hashes |= {PLAIN: file.sha256.hexdigest(), ".metadata": sha256_of(temporary / ".metadata")}
        size = sum(path.stat().st_size for path in temporary.iterdir())
        sync_folder(temporary)
        files.json_path(folder).unlink(missing_ok=True)
        put_in_place(temporary, folder)
        described = files.describe(plain, facts, sha256_of_files(hashes), size)
        files.write_json(files.json_path(folder), described)
        for other in folders[1:]:
            files.give_second_name(folder, other)
        remove_superfluous(folders, self.keep)

    def _of_the_disk(self, error: CheckpointException, temporary: Path) -> OSError:
        """What a process's disk said; a defect of ours is raised as it is."""
        if self._is_main:
            with suppress(OSError):
                discard(temporary)
        for cause, _ in error.failures.values():
            if not isinstance(cause, (OSError, RuntimeError)):  # torch.save turns one to the other
                raise error
        return OSError("; ".join(f"process {rank}: {e}" for rank, (e, _) in error.failures.items()))


def make_anew(folder: Path) -> None:
    discard(folder)
    folder.mkdir(parents=True)
