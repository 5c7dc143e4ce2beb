"""The mean of the gradients over all processes, where no wrapper of the model sees to it."""

from __future__ import annotations

import torch.distributed as dist
from torch import nn


def average_gradients(model: nn.Module) -> None:
    """Replace every gradient by its mean over the processes, after the backward pass."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    for work in [dist.all_reduce(gradient, async_op=True) for gradient in gradients]:
        work.wait()
    for gradient in gradients:
        gradient /= dist.get_world_size()
