"""The state of a training run: what a checkpoint holds, and how a run continues from one.

A checkpoint holds ``epoch`` (index of the last finished epoch, as in the released files),
``model_state``, ``optimizer_state``, ``scaler_state``, ``best_top1_err``, ``cfg`` (YAML text),
``geometry`` (`VideoClassifier.geometry`), ``class_names`` and ``version``. Nothing random is
stored: randomness is a function of the seed and of where the run is.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch
import yaml
from fvcore.common.config import CfgNode

import timesformer
from timesformer.checkpoints import files
from timesformer.errors import UserError

if TYPE_CHECKING:
    from timesformer.models.build import VideoClassifier

log = logging.getLogger("timesformer")

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
)

# 0 in one of these is whatever the model's name says: the weights and the geometry tell.
SIZE = ("TIMESFORMER.EMBED_DIM", "TIMESFORMER.DEPTH", "TIMESFORMER.NUM_HEADS")

# These may change between stop and resume without a word: they change no number of the training.
INCIDENTAL = (
    "OUTPUT_DIR",
    "LOG_PERIOD",
    "DATA_LOADER",
    "TENSORBOARD",
    "TEST",
    "DATA.DECODER",
    "DATA.ENSEMBLE_METHOD",
    "TRAIN.AUTO_RESUME",
    "TRAIN.CHECKPOINT_PERIOD",
    "TRAIN.ENABLE",
    "TRAIN.EVAL_PERIOD",
    "TIMESFORMER.GRAD_CHECKPOINTING",
    "SHARD_ID",
    "INIT_METHOD",
)

# These may change once nothing is left to train: another number of processes may test the model.
SPENT = (
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
    epochs_done: int = 0
    best_top1_err: float = field(default=float("inf"))
    class_names: tuple[str, ...] = ()

    def as_checkpoint(self, cfg: CfgNode) -> dict[str, Any]:
        return {
            "epoch": self.epochs_done - 1,
            "model_state": self.model.state_dict(),
            "optimizer_state": self.optimizer.state_dict(),
            "scaler_state": self.scaler.state_dict(),
            "best_top1_err": self.best_top1_err,
            "cfg": cfg.dump(),
            "geometry": self.model.geometry,
            "class_names": list(self.class_names),
            "version": timesformer.__version__,
        }

    def restore(self, checkpoint: dict[str, Any], source: str) -> None:
        """Continue exactly where `checkpoint` was written, with this run's optimiser settings.

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
            self.model.load_state_dict(checkpoint["model_state"])
            self.optimizer.load_state_dict(checkpoint["optimizer_state"])
            if checkpoint.get("scaler_state"):  # empty unless it was written in fp16
                self.scaler.load_state_dict(checkpoint["scaler_state"])
            self.epochs_done = int(checkpoint["epoch"]) + 1
            self.best_top1_err = float(checkpoint.get("best_top1_err", self.best_top1_err))
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise unfit(source, " ".join(str(error).split())[:300]) from error
        # The file's settings came along with its moments; the config is what counts.
        for group, own in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(own)


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


def save(state: TrainState, cfg: CfgNode, *, is_best: bool, is_due: bool) -> None:
    """Write the epoch's checkpoint if it `is_due`, and the best one if it `is_best`."""
    checkpoint = state.as_checkpoint(cfg)
    if is_best:
        files.write(checkpoint, files.folder(cfg.OUTPUT_DIR) / files.BEST)
    if is_due:
        files.write(checkpoint, files.epoch_path(cfg.OUTPUT_DIR, state.epochs_done))


def check_same_run(checkpoint: dict[str, Any], source: str, cfg: CfgNode) -> None:
    """Say which keys have changed since `checkpoint` was written.

    Raises:
        UserError: it belongs to another experiment; or it is finished, so that what has changed
            could not show in a single step.
    """
    if not isinstance(checkpoint.get("epoch"), int):
        raise unfit(source, "it holds no epoch")
    finished = checkpoint["epoch"] + 1 >= cfg.SOLVER.MAX_EPOCH
    then, now = _flat(recorded_config(checkpoint)), _flat(cfg)
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
        log.info("resuming, but %s", difference)


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
