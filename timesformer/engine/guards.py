"""What stops a run before it wastes time: too many unreadable videos, a loss gone wrong."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from timesformer.datasets.batch import Failure
from timesformer.errors import UserError

log = logging.getLogger("timesformer")


class FailureCounter:
    """Counts and names the unreadable videos of an epoch."""

    def __init__(self, *, max_fraction: float) -> None:
        self.max_fraction = max_fraction

    def start_epoch(self, num_samples: float) -> None:
        """Start counting anew; `num_samples` is this process's share of the epoch."""
        self.paths: set[str] = set()
        self.num_samples = num_samples

    def add(self, failures: Sequence[Failure]) -> None:
        """UserError once more than `max_fraction` of the epoch's videos have failed."""
        for failure in failures:
            if failure.path not in self.paths:
                log.warning("replaced an unreadable video: %s: %s", failure.path, failure.reason)
                self.paths.add(failure.path)
        if failures and len(self.paths) > self.max_fraction * self.num_samples:
            raise UserError(
                f"{len(self.paths)} of this epoch's {self.num_samples:.0f} training videos could "
                f"not be read, the last one {failures[-1].path}: more than "
                f"DATA.MAX_FAILED_FRACTION {self.max_fraction}. Mend or remove them "
                "(the log names each), or raise the key."
            )


class LossGuard:
    """Remembers the losses since the last check, so that the device is only waited for then."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, Tensor, list[int]]] = []

    def add(self, step: int, losses: Tensor, indices: list[int]) -> None:
        """Losses float (B,) of the clips `indices`, in optimiser step `step`."""
        self._seen.append((step, losses, indices))

    def check(self, paths: Sequence[str]) -> None:
        """UserError with the step and the files of the first non-finite loss; forgets the rest."""
        seen, self._seen = self._seen, []
        if not seen:
            return
        losses = torch.cat([losses for _, losses, _ in seen]).tolist()  # the one wait
        if all(math.isfinite(loss) for loss in losses):
            return
        for step, values, indices in seen:
            pairs = zip(indices, values.tolist(), strict=True)
            bad = [paths[index] for index, loss in pairs if not math.isfinite(loss)]
            if bad:
                raise UserError(
                    f"the loss is not finite in step {step}, for {', '.join(bad)}. "
                    "The last checkpoint is from before. Try a smaller SOLVER.BASE_LR, "
                    "SOLVER.CLIP_GRAD_L2NORM 1, or TRAIN.PRECISION fp32."
                )
