"""The loss over rising learning rates, and what it says. N steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np

REACH = 0.06  # of all steps; see `Curve.reach`
LEAST_FALL = 0.05  # of the first loss
CLEAR = 4  # times the noise of the smoothed losses: less may be chance


@dataclass(frozen=True)
class Curve:
    """Learning rates that grow by the same factor, and the loss of a step with each."""

    rates: Sequence[float]
    losses: Sequence[float]
    diverged: bool
    """Whether that is why it ends."""

    @property
    def reach(self) -> int:
        """Steps to either side over which losses are averaged."""
        return max(1, round(REACH * len(self.losses)))

    @cached_property
    def smoothed(self) -> np.ndarray:
        """float64 (N,): means over neighbours, the nearer the heavier, which shift nothing."""
        reach = self.reach
        weights = 1.0 + reach - np.abs(np.arange(-reach, reach + 1))
        # Not "same", which of fewer steps than weights would make as many as weights.
        sums = np.convolve(self.losses, weights)[reach:-reach]
        return sums / np.convolve(np.ones(len(self.losses)), weights)[reach:-reach]

    @property
    def lowest(self) -> int:
        """The step with the lowest smoothed loss."""
        return int(self.smoothed.argmin())

    @property
    def falls(self) -> bool:
        """Whether the loss falls by more than chance would make it."""
        smoothed = self.smoothed[: self.lowest + 1]
        rest = np.asarray(self.losses)[: self.lowest + 1] - smoothed
        noise = rest.std() / math.sqrt(self.reach)
        return bool(smoothed[0] - smoothed[-1] > max(LEAST_FALL * smoothed[0], CLEAR * noise))

    @property
    def steepest(self) -> float | None:
        """The rate at which the loss falls fastest with each step; None where it does not fall."""
        if not self.falls:
            return None
        return self.rates[int(np.gradient(self.smoothed)[: self.lowest + 1].argmin())]

    @property
    def tenth(self) -> float | None:
        """A tenth of the rate with the lowest loss; None where it does not fall."""
        return self.rates[self.lowest] / 10 if self.falls else None

    def as_json(self) -> dict[str, Any]:
        return {
            "steepest": self.steepest,
            "tenth_of_lowest": self.tenth,
            "diverged": self.diverged,
            "rates": list(self.rates),
            "losses": list(self.losses),
            "smoothed": self.smoothed.tolist(),
        }


def draw(curve: Curve, configured: float, file: BinaryIO) -> None:
    """The curve as a PNG, with the suggestions and the rate of the config."""
    # Imported late: it costs a second. Without pyplot, which would look for a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(curve.rates, curve.losses, color="0.75", label="loss of a step")
    axes.semilogx(curve.rates, curve.smoothed, color="C0", label="smoothed")
    for rate, label, color in (
        (curve.steepest, "steepest descent", "C2"),
        (curve.tenth, "a tenth of the lowest", "C1"),
        (configured, "SOLVER.BASE_LR", "0.3"),
    ):
        if rate is not None:
            style = ":" if rate is configured else "--"
            axes.axvline(rate, linestyle=style, color=color, label=f"{label}: {rate:.1e}")
    low, high = curve.smoothed.min(), curve.smoothed[0]
    room = max(high - low, 0.1 * high)
    axes.set_ylim(low - room / 4, high + room)  # what follows would hide the rest
    axes.set(xlabel="learning rate (SOLVER.BASE_LR)", ylabel="loss")
    axes.grid(which="major", alpha=0.3)
    axes.legend()
    figure.savefig(file, format="png", dpi=120)
