"""The running average of a model's weights, which often scores better than the weights do."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn


class Ema:
    """The exponential moving average of `model`'s weights, float32 whatever theirs are.

    Buffers are averaged too (those of batch norms), and copied where they are integers. In
    optimiser step n of the run, from 1, the average keeps the share `decay_at(n)` of itself. The
    first step takes the weights as they are, so nothing that stood in the model before counts, and
    no count of updates needs to be stored: the step and the averaged tensors are the whole state.

    PyTorch's `AveragedModel` would add its own counter and other names to the state, average
    integers, and make a GPU wait in each step.

    Args:
        model: bare, not wrapped for several processes, and on its device already. Where the
            processes agree on the weights, they agree on the average; buffers are each one's own.
        decay: the share that is kept once the warm-up is over, below 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.module = copy.deepcopy(model).float().requires_grad_(False).eval()

    def decay_at(self, step: int) -> float:
        """min(decay, (n - 1) / (n + 8)) in step n: the mean of about the last n / 9 steps.

        It is TensorFlow's warm-up, begun at 0. A run that is short beside 1 / (1 - decay) steps
        would otherwise be measured by where it started.
        """
        return min(self.decay, (step - 1) / (step + 8))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimiser step `step` of the run, from 1; waits for no process and no device."""
        averages, weights = [], []
        for average, now in zip(tensors(self.module), tensors(self.model), strict=True):
            if average.is_floating_point():
                averages.append(average)
                weights.append(now.float())
            else:
                average.copy_(now)
        torch._foreach_lerp_(averages, weights, 1 - self.decay_at(step))

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged tensors under the model's own names; not copies."""
        return self.module.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """RuntimeError if `state` is of another model."""
        self.module.load_state_dict(state)


def tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def build_ema(model: nn.Module, cfg: CfgNode) -> Ema | None:
    """The average that TRAIN.EMA_DECAY asks for; None for 0."""
    return Ema(model, cfg.TRAIN.EMA_DECAY) if cfg.TRAIN.EMA_DECAY else None
