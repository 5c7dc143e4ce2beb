"""The loss curves of `benchmarks.accelerators`, and how far they are apart."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

WINDOW = 10  # steps of a moving mean: single losses of 16 clips jump


def draw(report: dict[str, Any], path: Path) -> None:
    """Writes a PNG: on the left the losses, on the right their distances to the baseline."""
    losses = {name: smooth(np.array(values)) for name, values in report["losses"].items()}
    accelerators = list(report["accelerators"])
    seeds = [name for name in losses if name not in accelerators]
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.5))
    steps = np.arange(len(losses[seeds[0]]))
    spread = np.array([losses[name] for name in seeds])
    label = f"{len(seeds)} seeds, as it comes"
    left.fill_between(steps, spread.min(axis=0), spread.max(axis=0), color="0.85", label=label)
    for one, other in combinations(seeds, 2):
        label = "two seeds" if (one, other) == (seeds[0], seeds[1]) else None
        right.plot(steps, abs(losses[one] - losses[other]), color="0.75", label=label)
    curves(left, right, losses, seeds[0], accelerators)
    left.set_ylabel(f"training loss, mean of {WINDOW} steps")
    right.set_ylabel("distance of that loss to the run as it comes")
    right.set_yscale("log")
    for axes in (left, right):
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    right.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def curves(
    left: Axes, right: Axes, losses: dict[str, np.ndarray], baseline: str, names: list[str]
) -> None:
    colours = plt.get_cmap("tab20")
    for number, name in enumerate(names):
        style = {"color": colours(number), "linewidth": 1.2, "label": name}
        left.plot(losses[name], **style)
        right.plot(abs(losses[name] - losses[baseline]), **style)
    left.plot(losses[baseline], color="black", linewidth=1.2, label=baseline)
    left.legend(fontsize=7)


def smooth(losses: np.ndarray) -> np.ndarray:
    """The mean of each window that fits."""
    window = min(WINDOW, len(losses))
    return np.convolve(losses, np.ones(window) / window, mode="valid")
