"""What a run shows beside its numbers: weights, gradients, clips with predictions, confusions.

K classes, V views, C channels, T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from timesformer.logs import Silent
from timesformer.writers.interface import Histogram

if TYPE_CHECKING:
    from fvcore.common.config import CfgNode

BINS = 64


@dataclass
class Showing:
    """Hands to `reporter` what is asked for; by itself nothing."""

    reporter: Silent
    histograms: int = 0
    """Epochs between those of weights and gradients, 0 for none."""
    num_clips: int = 0
    confusions: bool = False
    fps: float = 8.0
    """Of the clips."""
    _epoch: int = 0  # that the step to come is the last of; 0 if it is not looked at

    def follow(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Be there when the optimiser has gradients, if that will be asked for."""
        if self.histograms:
            optimizer.register_step_pre_hook(lambda *_: self._look_at(model, optimizer))

    def await_last_step(self, epoch: int) -> None:
        """The next step is the last of `epoch`, from 1: the one that is looked at, if it is due."""
        if self.histograms and epoch % self.histograms == 0:
            self._epoch = epoch

    def _look_at(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        epoch, self._epoch = self._epoch, 0
        if not epoch:
            return
        scale = getattr(optimizer, "grad_scale", None)  # of fp16, taken out by the step itself
        for name, parameter in model.named_parameters():
            gradient = parameter.grad
            if gradient is not None and scale is not None:
                gradient = gradient / scale
            for kind, values in (("weights", parameter), ("gradients", gradient)):
                if values is not None and (histogram := histogram_of(values)):
                    self.reporter.histogram(f"{kind}/{name}", epoch, histogram)

    def predictions(
        self,
        split: str,
        step: int,
        probabilities: Tensor,
        labels: Tensor,
        class_names: Sequence[str],
        views_of: Callable[[int], Tensor | None],
    ) -> None:
        """Show what became of the videos of a split.

        Args:
            probabilities: float (n, K), NaN for videos that could not be read.
            labels: int64 (n,).
            class_names: K of them.
            views_of: uint8 (V, C, T, H, W) of a video by its place, None if it cannot be read.
        """
        if self.confusions:
            counts = confusion_counts(probabilities, labels)
            self.reporter.confusion_matrix(f"{split}_confusion", step, counts, class_names)
        for place, index in enumerate(spread(self.num_clips, len(labels))):
            views = views_of(index)
            if views is not None:
                best = int(probabilities[index].argmax())
                words = (
                    f"{class_names[int(labels[index])]}, predicted {class_names[best]} "
                    f"({probabilities[index, best]:.0%})"
                )
                frames = views[len(views) // 2].permute(1, 2, 3, 0).numpy()
                self.reporter.clip(f"{split}_clips/{place:02d}", step, frames, self.fps, words)


def build_showing(cfg: CfgNode, reporter: Silent, *, is_main: bool) -> Showing:
    """As TENSORBOARD asks for it, whichever the writers are; nothing beside the main process."""
    if not is_main:
        return Showing(reporter)
    return Showing(
        reporter,
        histograms=cfg.TENSORBOARD.HISTOGRAMS,
        num_clips=cfg.TENSORBOARD.NUM_CLIPS,
        confusions=cfg.TENSORBOARD.CONFUSION_MATRIX.ENABLE,
        fps=cfg.DATA.TARGET_FPS / cfg.DATA.SAMPLING_RATE,
    )


def histogram_of(values: Tensor) -> Histogram | None:
    """Of the finite values, counted where they are; None if there are none."""
    values = values.detach().float().flatten()
    values = values[values.isfinite()]
    if not len(values):
        return None
    low, high = (float(end) for end in values.aminmax())
    if low == high:  # as all weights of a norm are at first
        low, high = low - 0.5, high + 0.5
    counts = torch.histc(values, BINS, low, high).cpu().double().numpy()
    return Histogram(counts, np.linspace(low, high, BINS + 1))


def confusion_counts(probabilities: Tensor, labels: Tensor) -> np.ndarray:
    """int64 (K, K): videos of each true class (rows) by what they were taken for.

    Those that could not be read were taken for nothing.
    """
    num_classes = probabilities.shape[1]
    readable = probabilities.isfinite().all(dim=1)
    cells = labels[readable] * num_classes + probabilities[readable].argmax(dim=1)
    return cells.bincount(minlength=num_classes**2).view(num_classes, num_classes).numpy()


def spread(number: int, total: int) -> list[int]:
    """At most `number` places from the first to the last: lists are often in order of class."""
    return sorted({round(place) for place in np.linspace(0, total - 1, min(number, total))})
