"""What any process wishes, all do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

# A step may take long; what hangs is ended by others: see `watch`.
PATIENCE = timedelta(days=1)


class Agreement:
    """Numbers of every process, of which all get the largest: asked at a step's start, known at its
    end, so that no step waits for the exchange.

    Over a group of its own on the CPU: it never waits for a GPU, nor mixes with the gradients.
    """

    def __init__(self) -> None:
        self._group: dist.ProcessGroup | None = None
        if dist.is_initialized():
            self._group = dist.new_group(backend="gloo", timeout=PATIENCE)  # type: ignore[assignment]

    def ask(self, wishes: Sequence[int]) -> Question:
        """Start the exchange of this process's wishes: as many as everybody's, 0 for none."""
        numbers = torch.tensor(wishes, dtype=torch.int64)
        if self._group is None:
            return Question(numbers, None)
        largest = dist.ReduceOp.MAX
        return Question(
            numbers, dist.all_reduce(numbers, largest, group=self._group, async_op=True)
        )


@dataclass(frozen=True)
class Question:
    """An exchange that is on its way."""

    numbers: Tensor
    work: dist.Work | None

    def answer(self) -> list[int]:
        """The largest of each number; waits for it."""
        if self.work is not None:
            self.work.wait()
        return [int(number) for number in self.numbers]
