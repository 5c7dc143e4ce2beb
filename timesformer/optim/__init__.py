"""Optimisation: losses, optimisers, learning-rate schedules."""

from timesformer.optim.losses import LOSS_REGISTRY
from timesformer.optim.optimizers import build_optimizer, set_lr
from timesformer.optim.schedules import lr_at

__all__ = ["LOSS_REGISTRY", "build_optimizer", "lr_at", "set_lr"]
