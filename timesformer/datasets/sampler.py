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
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


@dataclass(frozen=True)
class Request:
    """One sample to load: `index` in the data set, for `epoch`; `counted` False for padding.

    `repeat` counts the times that the same video came up before in the same epoch.
    """

    index: int
    epoch: int = 0
    counted: bool = True
    repeat: int = 0

    def rng(self, seed: int) -> random.Random:
        """All that is random about the sample comes from here."""
        again = f" {self.repeat}" if self.repeat else ""
        return random.Random(f"{seed} {self.epoch} {self.index}{again}")


class TrainSampler(Sampler[list[Request]]):
    """The batches of one process, from where `go_to` put it to the end of an epoch.

    What lies before that is left out without being loaded. `balance`, the label of each sample,
    makes an epoch of as many samples, in which every class is as frequent as any other.
    """

    def __init__(
        self,
        *,
        num_samples: int,
        global_batch: int,
        per_pass: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        balance: npt.NDArray[np.int64] | None = None,
    ) -> None:
        assert global_batch % per_pass == 0 and per_pass % world_size == 0
        self.num_samples = num_samples
        self.global_batch = global_batch
        self.per_pass = per_pass
        self.rank = rank
        self.world_size = world_size
        self.seed = seed
        self.balance = balance
        self.epoch = 0
        self.first = 0

    def go_to(self, epoch: int, first: int = 0) -> None:
        """Begin with sample `first` of the order of `epoch`, where a pass of some step begins."""
        self.epoch, self.first = epoch, first

    def step_sizes(self, first: int = 0) -> list[int]:
        """Samples of each optimiser step of an epoch from `first` on, over all processes."""
        full, rest = divmod(self.num_samples - first, self.global_batch)
        return [self.global_batch] * full + ([rest] if rest else [])

    def num_steps(self, first: int = 0) -> int:
        """Optimiser steps of an epoch from `first` on."""
        return math.ceil((self.num_samples - first) / self.global_batch)

    def num_passes(self, step_size: int) -> int:
        """Forward passes of a step with `step_size` samples."""
        return math.ceil(step_size / self.per_pass)

    def __len__(self) -> int:
        return math.ceil((self.num_samples - self.first) / self.per_pass)

    def __iter__(self) -> Iterator[list[Request]]:
        order, repeats = self._order()
        for start in range(self.first, self.num_samples, self.per_pass):
            # A pass never straddles two steps, because global_batch is a multiple of per_pass.
            pass_ = slice(start, start + self.per_pass)
            yield self._share(order[pass_].tolist(), repeats[pass_].tolist())

    def _order(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The samples of the epoch, and how often each of them came up before."""
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.balance is not None:
            return balanced_order(self.balance, rng)
        return rng.permutation(self.num_samples), np.zeros(self.num_samples, np.int64)

    def _share(self, samples: list[int], repeats: list[int]) -> list[Request]:
        mine = [
            Request(index, self.epoch, repeat=repeat)
            for index, repeat in list(zip(samples, repeats, strict=True))[
                self.rank :: self.world_size
            ]
        ]
        padding = math.ceil(len(samples) / self.world_size) - len(mine)
        return mine + [Request(samples[0], self.epoch, counted=False)] * padding


def balanced_order(
    labels: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """As many samples as there are labels, every class as often as any other, but for one.

    A class with fewer videos goes through them again, in a new order; of one with more, another
    part comes up each epoch.

    Returns:
        Indices (n,) in random order, and how often each came up before (n,).
    """
    classes = rng.permutation(np.unique(labels))
    shares = np.full(len(classes), len(labels) // len(classes))
    shares[: len(labels) % len(classes)] += 1
    indices, repeats = [], []
    for label, share in zip(classes, shares, strict=True):
        videos = np.flatnonzero(labels == label)
        rounds = math.ceil(share / len(videos))
        indices.append(np.concatenate([rng.permutation(videos) for _ in range(rounds)])[:share])
        repeats.append(np.repeat(np.arange(rounds), len(videos))[:share])
    order = rng.permutation(len(labels))
    return np.concatenate(indices)[order], np.concatenate(repeats)[order]


class EvalSampler(Sampler[list[Request]]):
    """Every video exactly once: this process's every `world_size`-th, without padding."""

    def __init__(
        self, *, num_samples: int, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self.indices = range(rank, num_samples, world_size)
        self.per_pass = batch_size
        self.epoch = 0
        self.first = 0

    def go_to(self, epoch: int, first: int = 0) -> None:
        """Begin with this process's video `first`; one epoch is as the other."""
        self.epoch, self.first = epoch, first

    def __len__(self) -> int:
        return math.ceil((len(self.indices) - self.first) / self.per_pass)

    def __iter__(self) -> Iterator[list[Request]]:
        for start in range(self.first, len(self.indices), self.per_pass):
            yield [Request(index) for index in self.indices[start : start + self.per_pass]]
