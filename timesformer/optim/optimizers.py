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
        head_lr_scale=cfg.SOLVER.HEAD_LR_SCALE,
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
    model: Decayable, *, weight_decay: float, zero_for_1d: bool, head_lr_scale: float = 1.0
) -> list[dict[str, Any]]:
    """The parameters by what they share: ``weight_decay`` and ``lr_scale``, for `set_lr`.

    The released code decays every parameter (its list of exceptions is never read), and the
    published numbers come from that: `zero_for_1d` False. True spares biases, norms, embeddings.
    """
    exempt = model.no_weight_decay()
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            in_head = head_lr_scale != 1 and "head" in name.split(".")
            is_spared = zero_for_1d and (parameter.ndim <= 1 or name in exempt)
            groups.setdefault((in_head, is_spared), []).append(parameter)
    return [
        {
            "params": groups[in_head, is_spared],
            "weight_decay": 0.0 if is_spared else weight_decay,
            "lr_scale": head_lr_scale if in_head else 1.0,
        }
        for in_head, is_spared in sorted(groups)
    ]


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The learning rate of the schedule, times what each group makes of it."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
