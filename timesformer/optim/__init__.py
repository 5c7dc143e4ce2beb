"""Optimisation: losses, optimisers, learning-rate schedules, the average of the weights."""

from timesformer.optim.describe import describe_optimizer
from timesformer.optim.ema import Ema, build_ema
from timesformer.optim.losses import LOSS_REGISTRY
from timesformer.optim.optimizers import build_optimizer, set_lr
from timesformer.optim.schedules import batch_scale, lr_at

__all__ = [
    "LOSS_REGISTRY",
    "Ema",
    "batch_scale",
    "build_ema",
    "build_optimizer",
    "describe_optimizer",
    "lr_at",
    "set_lr",
]
