"""What a data set returns, and a batch of it.

B videos, V views, C channels, T frames, H W pixels. Views stay uint8 until they are on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Failure:
    """A video that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Item:
    """One video: uint8 views (V, C, T, H, W) and its label.

    `views` is None for a video that could not be read. In training another one stands in, and it is
    None only if that failed too, many times; `failures` names the ones that failed.
    `index` is the position in the data set of the video that `views` really shows; `seed` is for
    what is random about the sample once it is on the device.
    """

    views: Tensor | None
    label: int
    index: int
    counted: bool = True
    failures: tuple[Failure, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """B items side by side.

    `views` is uint8 (R, V, C, T, H, W) of the R videos that could be read, all of them in training;
    `readable` (B,) says which those are. `labels`, `indices`, `weights` (0 for padding, else 1) and
    `seeds` are (B,).
    """

    views: Tensor
    readable: Tensor
    labels: Tensor
    indices: Tensor
    weights: Tensor
    failures: tuple[Failure, ...]
    seeds: tuple[int, ...] = ()

    def pin_memory(self) -> Batch:
        """Called by the loader: page-locked memory for the parts that go to the device."""
        return replace(
            self,
            views=self.views.pin_memory(),
            labels=self.labels.pin_memory(),
            weights=self.weights.pin_memory(),
        )

    def to(self, device: torch.device) -> Batch:
        """The same parts on `device`; a copy from page-locked memory is not waited for."""
        return replace(
            self,
            views=self.views.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            weights=self.weights.to(device, non_blocking=True),
        )


def collate(items: Sequence[Item]) -> Batch:
    """Items as a batch."""
    views = [item.views for item in items if item.views is not None]
    return Batch(
        views=torch.stack(views) if views else torch.empty(0, dtype=torch.uint8),
        readable=torch.tensor([item.views is not None for item in items]),
        labels=torch.tensor([item.label for item in items]),
        indices=torch.tensor([item.index for item in items]),
        weights=torch.tensor([float(item.counted) for item in items]),
        failures=tuple(failure for item in items for failure in item.failures),
        seeds=tuple(item.seed for item in items),
    )
