"""What stops a run: unreadable videos, a loss gone wrong, a machine at its end."""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from timesformer.datasets.batch import Batch
from timesformer.errors import UserError

log = logging.getLogger("timesformer")

MAX_FILES_NAMED = 5
WHAT_TO_TRY = (
    "Try a smaller SOLVER.BASE_LR, SOLVER.CLIP_GRAD_L2NORM 1 or TRAIN.PRECISION fp32; if a run "
    "that continues the newest checkpoint stops at once, remove it."
)

# As PyTorch's allocator on the CPU says it, oneDNN, and NVIDIA's libraries.
NO_MEMORY = ("DefaultCPUAllocator", "could not create a primitive", "STATUS_ALLOC_FAILED")
OUT_OF_MEMORY = (
    "out of memory. Try a smaller TRAIN.BATCH_SIZE (GLOBAL_BATCH_SIZE keeps the step; "
    "TRAIN.HALVE_BATCH_ON_OOM True does it when it has to) or TEST.BATCH_SIZE, "
    "TIMESFORMER.GRAD_CHECKPOINTING True, or TRAIN.PRECISION bf16."
)


class FailureCounter:
    """Counts and names the unreadable videos of an epoch."""

    def __init__(self, *, num_videos: int, max_fraction: float) -> None:
        self.num_videos = num_videos
        self.max_fraction = max_fraction
        self.paths: set[str] = set()

    def start_epoch(self) -> None:
        self.paths = set()

    def add(self, batch: Batch) -> None:
        """Name the batch's failures; UserError if no other video could stand in for one."""
        for failure in batch.failures:
            if failure.path not in self.paths:
                log.warning("replaced an unreadable video: %s: %s", failure.path, failure.reason)
                self.paths.add(failure.path)
        if not all(batch.readable.tolist()):
            raise UserError(
                "no readable training video was found in many tries, the last one "
                f"{batch.failures[-1].path}: {batch.failures[-1].reason}. Check "
                "DATA.PATH_TO_DATA_DIR and DATA.PATH_PREFIX."
            )

    def check(self, num_failed: int) -> None:
        """UserError if `num_failed`, over all processes, is more than the allowed share."""
        if num_failed > self.max_fraction * self.num_videos:
            raise UserError(
                f"{num_failed} of the {self.num_videos} training videos could not be read in this "
                f"epoch, more than DATA.MAX_FAILED_FRACTION {self.max_fraction}. Mend or remove "
                "them (the log names each), or raise the key."
            )


class LossGuard:
    """Remembers the losses since the last check, so that the device is only waited for then."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, Tensor, list[int]]] = []

    def add(self, place: str, losses: Tensor, indices: list[int]) -> None:
        """Losses float (B,) of the clips `indices`, at `place`: ``epoch 1, step 2/3``."""
        self._seen.append((place, losses, indices))

    def check(self, paths: Sequence[str]) -> None:
        """UserError with the place and the files of the first non-finite loss; forgets the rest."""
        seen, self._seen = self._seen, []
        if not seen:
            return
        losses = torch.cat([losses for _, losses, _ in seen]).tolist()  # the one wait
        if all(math.isfinite(loss) for loss in losses):
            return
        for place, values, indices in seen:
            pairs = zip(indices, values.tolist(), strict=True)
            if bad := [paths[index] for index, loss in pairs if not math.isfinite(loss)]:
                raise UserError(
                    f"the loss is not finite in {place}, for {named(bad)}. {WHAT_TO_TRY}"
                )


def named(paths: Sequence[str]) -> str:
    """The first few paths, and how many more there are."""
    more = f" and {len(paths) - MAX_FILES_NAMED} more" if len(paths) > MAX_FILES_NAMED else ""
    return ", ".join(paths[:MAX_FILES_NAMED]) + more


def check_weights(model: nn.Module, when: str) -> None:
    """UserError if a weight is not finite: no loss has shown what the last step did."""
    own = [p.to_local() if hasattr(p, "to_local") else p for p in model.parameters()]
    finite = torch.stack([parameter.isfinite().all() for parameter in own])
    if not finite.all():  # waits for the device, whenever the state is about to be saved
        raise UserError(f"the weights are not finite after {when}. {WHAT_TO_TRY}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the GPU or the machine had no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error) for words in NO_MEMORY
    )


def exhausted(error: OSError | RuntimeError) -> str | None:
    """What to say where the machine, and not the code, is at its end."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"the disk is full ({error}); the checkpoints written so far are whole. Make room and "
            "start again to continue."
        )
    return OUT_OF_MEMORY if is_out_of_memory(error) else None
