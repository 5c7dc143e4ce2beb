"""Optimisers and their parameter groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from fvcore.common.config import CfgNode
from torch import nn


class Decayable(Protocol):
    """A model that names the parameters that weight decay may spare."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...

    def no_weight_decay(self) -> set[str]: ...


def build_optimizer(model: Decayable, cfg: CfgNode) -> torch.optim.Optimizer:
    """SOLVER.OPTIMIZING_METHOD over `model`'s parameters, at SOLVER.BASE_LR."""
    groups = parameter_groups(
        model,
        weight_decay=cfg.SOLVER.WEIGHT_DECAY,
        zero_for_1d=cfg.SOLVER.ZERO_WD_1D_PARAM,
    )
    if cfg.SOLVER.OPTIMIZING_METHOD == "sgd":
        return torch.optim.SGD(
            groups,
            lr=cfg.SOLVER.BASE_LR,
            momentum=cfg.SOLVER.MOMENTUM,
            dampening=cfg.SOLVER.DAMPENING,
            nesterov=cfg.SOLVER.NESTEROV,
        )
    adaptive = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    method = adaptive[cfg.SOLVER.OPTIMIZING_METHOD]
    return method(groups, lr=cfg.SOLVER.BASE_LR, betas=tuple(cfg.SOLVER.BETAS))


def parameter_groups(
    model: Decayable, *, weight_decay: float, zero_for_1d: bool
) -> list[dict[str, Any]]:
    """One group with `weight_decay`; a second without it for biases, norms and embeddings if asked.

    The released code decays every parameter (its list of exceptions is never read), and the
    published numbers come from that: `zero_for_1d` False.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not zero_for_1d:
        return [{"params": [p for _, p in named], "weight_decay": weight_decay}]
    spared = model.no_weight_decay()
    decayed = [p for name, p in named if p.ndim > 1 and name not in spared]
    others = [p for name, p in named if p.ndim <= 1 or name in spared]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
