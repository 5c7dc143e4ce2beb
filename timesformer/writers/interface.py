"""What the places that a run writes to have in common. T frames, K classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Histogram:
    """How many values lie between one edge and the next."""

    counts: np.ndarray
    """float64 (bins,), whole numbers."""
    edges: np.ndarray
    """float64 (bins + 1,), rising."""


@dataclass(frozen=True)
class Picture:
    """An encoded image, or a moving one."""

    encoded: bytes
    ending: str
    """``png``, or ``gif`` for one that moves."""
    width: int
    height: int


class Writer:
    """One place. It keeps nothing of what it leaves out here.

    Names are paths with ``/``; a step is whatever the caller counts, and only rises within a name.
    """

    title = "a writer"
    failures: tuple[type[Exception], ...] = (OSError,)
    """What may happen to the place, and is no reason to stop a training."""

    def resume(self, step: int) -> None:
        """The run goes on after `step` optimiser steps: what was written of later ones is void."""

    def scalars(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Numbers of one kind, as ``train_iter``; strings may be among them."""

    def histogram(self, name: str, step: int, histogram: Histogram) -> None:
        pass

    def picture(self, name: str, step: int, picture: Picture, caption: str) -> None:
        pass

    def text(self, name: str, markdown: str) -> None:
        pass

    def results(self, config: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """The end: what the config sets, and the last numbers, as ``test_final/top1_acc``."""

    def close(self, *, failed: bool = False) -> None:
        """Wait until all is written; `failed` if the run did not get to its end."""
