"""Which sample goes into which batch of which process: pure functions of (seed, epoch).

An epoch is a permutation of the data set, cut into optimiser steps of `global_batch` samples, each
step into passes of `per_pass` samples (all processes together), each pass dealt to the processes in
turn. The steps therefore hold the same samples however many processes there are. The last step is
as short as it must be: no sample is dropped and none is counted twice. Where the last pass does not
divide evenly, a process gets a sample that is computed but not counted, so that all of them reach
every collective.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler


@dataclass(frozen=True)
class Request:
    """One sample to load: `index` in the data set, for `epoch`; `counted` False for padding."""

    index: int
    epoch: int = 0
    counted: bool = True


class TrainSampler(Sampler[list[Request]]):
    """The batches of one process, epoch by epoch (`epoch` is set by the training loop)."""

    def __init__(
        self,
        *,
        num_samples: int,
        global_batch: int,
        per_pass: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
    ) -> None:
        assert global_batch % per_pass == 0 and per_pass % world_size == 0
        self.num_samples = num_samples
        self.global_batch = global_batch
        self.per_pass = per_pass
        self.rank = rank
        self.world_size = world_size
        self.seed = seed
        self.epoch = 0

    def step_sizes(self) -> list[int]:
        """Samples of each optimiser step of an epoch, over all processes."""
        full, rest = divmod(self.num_samples, self.global_batch)
        return [self.global_batch] * full + ([rest] if rest else [])

    def num_passes(self, step_size: int) -> int:
        """Forward passes of a step with `step_size` samples."""
        return math.ceil(step_size / self.per_pass)

    def __len__(self) -> int:
        return sum(self.num_passes(size) for size in self.step_sizes())

    def __iter__(self) -> Iterator[list[Request]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_samples)
        for start in range(0, self.num_samples, self.per_pass):
            # A pass never straddles two steps, because global_batch is a multiple of per_pass.
            yield self._share(order[start : start + self.per_pass].tolist())

    def _share(self, samples: list[int]) -> list[Request]:
        mine = [Request(index, self.epoch) for index in samples[self.rank :: self.world_size]]
        padding = math.ceil(len(samples) / self.world_size) - len(mine)
        return mine + [Request(samples[0], self.epoch, counted=False)] * padding


class EvalSampler(Sampler[list[Request]]):
    """Every video exactly once: this process's every `world_size`-th, without padding."""

    def __init__(
        self, *, num_samples: int, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self.indices = range(rank, num_samples, world_size)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.indices) / self.batch_size)

    def __iter__(self) -> Iterator[list[Request]]:
        for start in range(0, len(self.indices), self.batch_size):
            yield [Request(index) for index in self.indices[start : start + self.batch_size]]
