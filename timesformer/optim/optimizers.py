"""Optimisers and their parameter groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from fvcore.common.config import CfgNode
from torch import nn

from timesformer.errors import UserError


class Groupable(Protocol):
    """A model that tells what an optimiser may treat differently."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...

    def no_weight_decay(self) -> set[str]: ...

    def parameter_layers(self) -> dict[str, int]: ...


def build_optimizer(
    model: Groupable, cfg: CfgNode, batch_scale: float = 1.0
) -> torch.optim.Optimizer:
    """SOLVER.OPTIMIZING_METHOD over `model`'s parameters.

    Args:
        batch_scale: what the size of a step makes of every learning rate (`schedules.batch_scale`).

    Raises:
        UserError: SOLVER.LAYER_DECAY for a model without layers.
    """
    groups = parameter_groups(
        model,
        weight_decay=cfg.SOLVER.WEIGHT_DECAY,
        zero_for_1d=cfg.SOLVER.ZERO_WD_1D_PARAM,
        head_lr_scale=cfg.SOLVER.HEAD_LR_SCALE,
        layer_decay=cfg.SOLVER.LAYER_DECAY,
        batch_scale=batch_scale,
    )
    optimizer = new_optimizer(groups, cfg)
    optimizer.register_load_state_dict_pre_hook(keep_own_step)
    return optimizer


def new_optimizer(groups: list[dict[str, Any]], cfg: CfgNode) -> torch.optim.Optimizer:
    fused = has_fused_step(groups)
    if cfg.SOLVER.OPTIMIZING_METHOD == "sgd":
        return torch.optim.SGD(
            groups,
            lr=cfg.SOLVER.BASE_LR,
            momentum=cfg.SOLVER.MOMENTUM,
            dampening=cfg.SOLVER.DAMPENING,
            nesterov=cfg.SOLVER.NESTEROV,
            fused=fused,
        )
    adaptive = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    method = adaptive[cfg.SOLVER.OPTIMIZING_METHOD]
    return method(groups, lr=cfg.SOLVER.BASE_LR, betas=tuple(cfg.SOLVER.BETAS), fused=fused)


def has_fused_step(groups: list[dict[str, Any]]) -> bool | None:
    """Whether a step goes once through the memory; None: PyTorch knows what is next best."""
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    return True if devices <= {"cpu", "cuda"} else None


def keep_own_step(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """`state` as if it came of an `optimizer` whose steps are computed like this one's.

    PyTorch would go by the file, and leave tensors of it where a fused step cannot use them.
    """
    own = {name: optimizer.defaults[name] for name in ("fused", "foreach")}
    return state | {"param_groups": [group | own for group in state["param_groups"]]}


def parameter_groups(
    model: Groupable,
    *,
    weight_decay: float,
    zero_for_1d: bool,
    head_lr_scale: float = 1.0,
    layer_decay: float = 1.0,
    batch_scale: float = 1.0,
) -> list[dict[str, Any]]:
    """The parameters by what they share: ``weight_decay`` and ``lr_scale``, for `set_lr`.

    The released code decays every parameter (its list of exceptions is never read), and the
    published numbers come from that: `zero_for_1d` False. True spares biases, norms, embeddings.

    The learning rate of the layer d below the last is multiplied by `layer_decay` ** d, as in BEiT
    (arXiv 2106.08254): the last has what follows the blocks, the first the embeddings. The first
    group is of the last layer and outside the head, so that its learning rate is the schedule's.
    """
    exempt = model.no_weight_decay()
    layer_scale = layer_scales(model, layer_decay)
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            in_head = head_lr_scale != 1 and "head" in name.split(".")
            is_spared = zero_for_1d and (parameter.ndim <= 1 or name in exempt)
            groups.setdefault((in_head, layer_scale[name], is_spared), []).append(parameter)
    return [
        {
            "params": groups[in_head, scale, is_spared],
            "weight_decay": 0.0 if is_spared else weight_decay,
            "lr_scale": batch_scale * scale * (head_lr_scale if in_head else 1.0),
        }
        for in_head, scale, is_spared in sorted(groups, key=lambda key: (key[0], -key[1], key[2]))
    ]


def layer_scales(model: Groupable, layer_decay: float) -> dict[str, float]:
    """What SOLVER.LAYER_DECAY makes of the learning rate of each parameter.

    Raises:
        UserError: a decay other than 1 for a model that does not know its layers.
    """
    names = [name for name, _ in model.named_parameters()]
    if layer_decay == 1:
        return dict.fromkeys(names, 1.0)
    layer_of = model.parameter_layers()
    if not layer_of:
        raise UserError(
            f"SOLVER.LAYER_DECAY is {layer_decay}, but the model has no layers to decay the "
            "learning rate over: set it to 1.0, or choose a TimeSformer as MODEL.MODEL_NAME"
        )
    last = max(layer_of.values())
    return {name: layer_decay ** (last - layer_of[name]) for name in names}


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The learning rate of the schedule, times what each group makes of it."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
