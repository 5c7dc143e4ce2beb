"""Learning rates as pure functions of the epoch, a float: 1.5 is the middle of the second epoch."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from fvcore.common.config import CfgNode


def cosine(epoch: float, *, base_lr: float, end_lr: float, max_epoch: int) -> float:
    """Half a cosine from `base_lr` at epoch 0 to `end_lr` at `max_epoch`."""
    return end_lr + (base_lr - end_lr) * (1 + math.cos(math.pi * epoch / max_epoch)) / 2


def steps(
    epoch: float, *, base_lr: float, starts: Sequence[int], factors: Sequence[float]
) -> float:
    """`base_lr` times the factor of the last step that has started."""
    return base_lr * factors[bisect_right(starts, epoch) - 1]


def lr_at(epoch: float, cfg: CfgNode) -> float:
    """The learning rate at `epoch`: the policy's, reached by a linear warm-up."""
    warmup = cfg.SOLVER.WARMUP_EPOCHS
    if epoch < warmup:
        start = cfg.SOLVER.WARMUP_START_LR
        return start + (_policy(warmup, cfg) - start) * epoch / warmup
    return _policy(epoch, cfg)


def _policy(epoch: float, cfg: CfgNode) -> float:
    base_lr = cfg.SOLVER.BASE_LR
    if cfg.SOLVER.LR_POLICY == "cosine":
        end_lr, max_epoch = cfg.SOLVER.COSINE_END_LR, cfg.SOLVER.MAX_EPOCH
        return cosine(epoch, base_lr=base_lr, end_lr=end_lr, max_epoch=max_epoch)
    return steps(epoch, base_lr=base_lr, starts=cfg.SOLVER.STEPS, factors=cfg.SOLVER.LRS)


def batch_scale(cfg: CfgNode, clips_per_step: int) -> float:
    """What SOLVER.BASE_LR_BATCH_SIZE makes of every learning rate of the schedule.

    It goes into the groups of the optimiser (`build_optimizer`), not into the schedule, which stays
    a function of the epoch alone.

    Args:
        clips_per_step: of a whole optimiser step, over all passes and processes.
    """
    stated = cfg.SOLVER.BASE_LR_BATCH_SIZE
    return clips_per_step / stated if stated else 1.0
