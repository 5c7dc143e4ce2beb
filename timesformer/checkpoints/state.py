"""The state of a training run: what a checkpoint holds, and how a run continues from one.

A checkpoint holds

- ``epoch`` (index of the last finished epoch, as in the released files), ``steps_done`` (of the
  run), ``samples_done`` and ``epoch_sums`` (of the epoch that has begun), ``awaits_validation``,
  ``best_top1_err``: where the run is;
- ``model_state``, ``optimizer_state``, ``scaler_state``, ``ema_state``: what has been learnt;
- ``cfg`` (YAML text), ``geometry`` (`VideoClassifier.geometry`), ``class_names``, ``version``,
  ``surroundings``: of what, with what.

Nothing random is stored: randomness is a function of the seed and of where the run is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch
import yaml
from fvcore.common.config import CfgNode
from torch import Tensor

import timesformer
from timesformer.errors import UserError

if TYPE_CHECKING:
    from timesformer.models.build import VideoClassifier
    from timesformer.optim.ema import Ema

# A run with other values of these is another experiment: its checkpoints are not ours to continue.
IDENTITY = (
    "TRAIN.DATASET",
    "DATA.NUM_FRAMES",
    "DATA.TRAIN_CROP_SIZE",
    "MODEL.MODEL_NAME",
    "MODEL.NUM_CLASSES",
    "TIMESFORMER.ATTENTION_TYPE",
    "TIMESFORMER.PATCH_SIZE",
    "TIMESFORMER.EMBED_DIM",
    "TIMESFORMER.DEPTH",
    "TIMESFORMER.NUM_HEADS",
    "SOLVER.OPTIMIZING_METHOD",
    "SOLVER.FROZEN_LAYERS",
)

# 0 in one of these is whatever the model's name says: the weights and the geometry tell.
SIZE = ("TIMESFORMER.EMBED_DIM", "TIMESFORMER.DEPTH", "TIMESFORMER.NUM_HEADS")

# These may change between stop and resume without a word: they change no number of the training.
INCIDENTAL = (
    "OUTPUT_DIR",
    "LOG_PERIOD",
    "DATA_LOADER",
    "TENSORBOARD",
    "WANDB",
    "MLFLOW",
    "TEST",
    "DATA.DECODER",
    "DATA.ENSEMBLE_METHOD",
    "TRAIN.AUTO_RESUME",
    "TRAIN.CHECKPOINT_PERIOD",
    "TRAIN.CHECKPOINT_EVERY_STEPS",
    "TRAIN.CHECKPOINT_EVERY_MINUTES",
    "TRAIN.KEEP_CHECKPOINTS",
    "TRAIN.REQUEUE_SIGNALS",
    "TRAIN.ENABLE",
    "TRAIN.EVAL_PERIOD",
    "TIMESFORMER.GRAD_CHECKPOINTING",
    "TIMESFORMER.CHECKPOINT_EVERY",
    "TIMESFORMER.CHECKPOINT_KEEP",
    "SHARD_ID",
    "INIT_METHOD",
    "HANG_TIMEOUT_MINUTES",
)

# These may change once nothing is left to train: another number of processes may test the model.
SPENT = (
    "TRAIN.COMPILE",
    "NUM_GPUS",
    "NUM_PROCS",
    "NUM_SHARDS",
    "TRAIN.BATCH_SIZE",
    "DATA.PATH_PREFIX",
    "DATA.SKIP_MISSING",
)


@dataclass
class TrainState:
    """Everything that changes while a run trains."""

    model: VideoClassifier
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    class_names: tuple[str, ...] = ()
    ema: Ema | None = None
    epochs_done: int = 0
    steps_done: int = 0  # optimiser steps of the whole run
    samples_done: int = 0  # of the epoch that has begun, over all processes
    epoch_sums: Tensor = field(default_factory=lambda: torch.zeros(4, dtype=torch.float64))
    awaits_validation: bool = False  # the last finished epoch was to be validated and was not yet
    best_top1_err: float = field(default=float("inf"))

    def as_checkpoint(self, cfg: CfgNode, surroundings: Mapping[str, Any]) -> dict[str, Any]:
        """What a checkpoint holds; its tensors are the living ones."""
        return {
            "epoch": self.epochs_done - 1,
            "steps_done": self.steps_done,
            "samples_done": self.samples_done,
            "epoch_sums": self.epoch_sums.tolist(),
            "awaits_validation": self.awaits_validation,
            "best_top1_err": self.best_top1_err,
            "model_state": self.model.state_dict(),
            "optimizer_state": self.optimizer.state_dict(),
            "scaler_state": self.scaler.state_dict(),
            "ema_state": self.ema.state_dict() if self.ema else {},
            "cfg": cfg.dump(),
            "geometry": self.model.geometry,
            "class_names": list(self.class_names),
            "version": timesformer.__version__,
            "surroundings": dict(surroundings),
        }

    def restore(self, checkpoint: dict[str, Any], source: str, *, steps_of_epoch: int) -> None:
        """Continue exactly where `checkpoint` was written, with this run's optimiser settings.

        A checkpoint of another program says how many epochs are done, of `steps_of_epoch` steps
        each, and not how many steps.

        Raises:
            UserError: the checkpoint is of another model or optimiser, or only holds weights.
        """
        if "optimizer_state" not in checkpoint:
            raise unfit(source, "it holds no optimizer_state")
        stated = checkpoint.get("geometry", {}).get("num_heads")
        if stated and stated != self.model.geometry["num_heads"]:
            raise unfit(source, f"it is of a network with {stated} attention heads")
        if change := class_change(checkpoint.get("class_names") or (), self.class_names):
            raise unfit(source, change)
        settings = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.optimizer.param_groups
        ]
        try:
            self._learnt(checkpoint)
            self._place(checkpoint, steps_of_epoch)
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise unfit(source, " ".join(str(error).split())[:300]) from error
        # The file's settings came along with its moments; the config is what counts.
        for group, own in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(own)

    def _learnt(self, checkpoint: dict[str, Any]) -> None:
        self.model.load_state_dict(checkpoint["model_state"])
        self.optimizer.load_state_dict(checkpoint["optimizer_state"])
        if checkpoint.get("scaler_state"):  # empty unless it was written in fp16
            self.scaler.load_state_dict(checkpoint["scaler_state"])
        if self.ema:
            # A run that begins to average in the middle begins with what it has.
            self.ema.load_state_dict(checkpoint.get("ema_state") or checkpoint["model_state"])

    def _place(self, checkpoint: dict[str, Any], steps_of_epoch: int) -> None:
        self.epochs_done = int(checkpoint["epoch"]) + 1
        self.steps_done = int(checkpoint.get("steps_done", self.epochs_done * steps_of_epoch))
        self.samples_done = int(checkpoint.get("samples_done", 0))
        self.epoch_sums = torch.tensor(checkpoint.get("epoch_sums", [0.0] * 4), dtype=torch.float64)
        self.awaits_validation = bool(checkpoint.get("awaits_validation", False))
        self.best_top1_err = float(checkpoint.get("best_top1_err", self.best_top1_err))


WEIGHTS_ALONE = "another OUTPUT_DIR, TRAIN.FINETUNE True and TRAIN.CHECKPOINT_FILE_PATH"


def unfit(source: str, reason: str) -> UserError:
    return UserError(
        f"{source} does not fit this run and cannot be continued: {reason}. To start from its "
        f"weights alone: {WEIGHTS_ALONE}."
    )


def class_change(then: Sequence[str], now: Sequence[str]) -> str:
    """Words for the first class that has another name than before; '' where names are the same.

    Nothing can be said where one of the two has no names.
    """
    if not then or not now:
        return ""
    for label, (old, new) in enumerate(zip_longest(then, now)):
        if old != new:
            return f"its class {label} is '{old}', and that of the data is '{new}'"
    return ""


def check_same_run(checkpoint: dict[str, Any], source: str, cfg: CfgNode) -> list[str]:
    """What has changed in the config since `checkpoint` was written, and may show in numbers.

    Raises:
        UserError: it belongs to another experiment; or it is finished, so that what has changed
            could not show in a single step.
    """
    if not isinstance(checkpoint.get("epoch"), int):
        raise unfit(source, "it holds no epoch")
    finished = checkpoint["epoch"] + 1 >= cfg.SOLVER.MAX_EPOCH
    then, now = _flat(recorded_config(checkpoint)), _flat(cfg)
    differences = []
    for name in now:
        if name.startswith(INCIDENTAL) or then.get(name, now[name]) == now[name]:
            continue
        if name in SIZE and 0 in (then[name], now[name]):
            continue
        if name == "TRAIN.CHECKPOINT_FILE_PATH" and now[name] == source:
            continue
        difference = f"{name} was {then[name]!r} and is {now[name]!r}"
        if name in IDENTITY or (finished and name not in SPENT):
            whose = "another experiment" if name in IDENTITY else "a finished run"
            raise UserError(
                f"{source} is of {whose}: {difference}. To test it, TRAIN.ENABLE False; to train "
                f"from its weights, {WEIGHTS_ALONE}."
            )
        differences.append(difference)
    return differences


def changed_surroundings(checkpoint: dict[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not the config and has changed since `checkpoint` was written."""
    then = checkpoint.get("surroundings", {})
    return [
        f"{name} was {then[name]} and is {value}"
        for name, value in now.items()
        if name in then and then[name] != value
    ]


def recorded_config(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The config a checkpoint was written with; empty if it has none that can be read."""
    try:
        recorded = yaml.safe_load(checkpoint.get("cfg", ""))
    except (yaml.YAMLError, AttributeError):
        return {}
    return recorded if isinstance(recorded, dict) else {}


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
