"""What the optimiser's settings come to, in words for the log."""

from __future__ import annotations

import torch
from fvcore.common.config import CfgNode

from timesformer.optim.schedules import batch_scale


def describe_optimizer(
    optimizer: torch.optim.Optimizer, cfg: CfgNode, clips_per_step: int
) -> list[str]:
    """A line for each rule that is in force, then one for each weight decay.

    Args:
        optimizer: of `build_optimizer`.
        clips_per_step: of a whole optimiser step, over all passes and processes.
    """
    solver, lines = cfg.SOLVER, [describe_lr(cfg, clips_per_step)]
    if solver.HEAD_LR_SCALE != 1:
        lines.append(
            f"learning rate of the head: x {solver.HEAD_LR_SCALE:g} (SOLVER.HEAD_LR_SCALE)"
        )
    if solver.FROZEN_LAYERS:
        lines.append(
            f"layers that do not learn, from the embeddings up: {solver.FROZEN_LAYERS} "
            "(SOLVER.FROZEN_LAYERS)"
        )
    if solver.LAYER_DECAY != 1:
        lines.append(
            f"learning rate of each layer: x {solver.LAYER_DECAY:g} of the layer above it "
            "(SOLVER.LAYER_DECAY)"
        )
    decays = sorted({group["weight_decay"] for group in optimizer.param_groups}, reverse=True)
    lines += [describe_family(optimizer, cfg, weight_decay) for weight_decay in decays]
    if cfg.TRAIN.EMA_DECAY:
        lines.append(
            f"the weights are averaged in float32: in step n the average keeps "
            f"min({cfg.TRAIN.EMA_DECAY:g}, (n - 1) / (n + 8)) of itself (TRAIN.EMA_DECAY)"
        )
    return lines


def describe_lr(cfg: CfgNode, clips_per_step: int) -> str:
    """The learning rate after the warm-up, and how it comes about."""
    base, stated = cfg.SOLVER.BASE_LR, cfg.SOLVER.BASE_LR_BATCH_SIZE
    if not stated:
        return f"learning rate {base:g}, whatever the batch (SOLVER.BASE_LR_BATCH_SIZE 0)"
    scaled = base * batch_scale(cfg, clips_per_step)
    return (
        f"learning rate {base:g} x {clips_per_step} / {stated} = {scaled:g} "
        f"(SOLVER.BASE_LR_BATCH_SIZE {stated})"
    )


def describe_family(optimizer: torch.optim.Optimizer, cfg: CfgNode, weight_decay: float) -> str:
    """What is decayed by `weight_decay`, and the learning rates of it after the warm-up."""
    groups = [g for g in optimizer.param_groups if g["weight_decay"] == weight_decay]
    parameters = [parameter for group in groups for parameter in group["params"]]
    rates = sorted({f"{cfg.SOLVER.BASE_LR * g['lr_scale']:.3g}" for g in groups}, key=float)
    spared = cfg.SOLVER.ZERO_WD_1D_PARAM and weight_decay == 0
    why = " (biases, norms, embeddings: SOLVER.ZERO_WD_1D_PARAM)" if spared else ""
    return (
        f"weight decay {weight_decay:g}{why}: {len(parameters)} tensors, "
        f"{sum(p.numel() for p in parameters):,} parameters, learning rate "
        f"{' to '.join(dict.fromkeys([rates[0], rates[-1]]))}"
    )
