"""Keys of the released code that can mean nothing here: accepted, warned about once, not stored.

A key with `accepted` values was honoured only for those; any other value is an error, because
ignoring it would change what the person asked for.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from timesformer.errors import UserError

log = logging.getLogger("timesformer")


@dataclass(frozen=True)
class Legacy:
    """Why the key is gone, and the values (None: all) for which dropping it changes nothing."""

    reason: str
    accepted: tuple[Any, ...] | None = None


NEVER_READ = "the released code never read it for TimeSformer"

LEGACY: dict[str, Legacy] = {
    "AUG.ENABLE": Legacy("the other AUG keys say what is on", (True,)),
    "AUG.INTERPOLATION": Legacy("turns, shears and shifts are bilinear", ("bilinear",)),
    "AUG.RE_SPLIT": Legacy("every clip may be erased", (False,)),
    "BN.WEIGHT_DECAY": Legacy("a TimeSformer has no batch norm"),
    "DATA.AUTO_AUGMENT": Legacy(f"{NEVER_READ}; AUG.AA_TYPE is read", ("", None)),
    "DATA.COLOR_JITTER": Legacy(f"{NEVER_READ}; AUG.COLOR_JITTER is read", (0, 0.0, None)),
    "DATA.CROP_SIZE": Legacy(NEVER_READ),
    "DATA.DECODING_BACKEND": Legacy("DATA.DECODER chooses what decodes videos"),
    "DATA.DEIT_TRANSFORMS": Legacy(NEVER_READ, (False,)),
    "DATA.MULTI_LABEL": Legacy("only single labels are supported", (False,)),
    "DATA.PATH_LABEL_SEPARATOR": Legacy("the separator of a csv line is detected"),
    "DATA.RE_PROB": Legacy(f"{NEVER_READ}; AUG.RE_PROB is read", (0, 0.0)),
    "DATA_LOADER.ENABLE_MULTI_THREAD_DECODE": Legacy("a worker decodes with one thread"),
    "DIST_BACKEND": Legacy("the backend follows the device"),
    "LOG_MODEL_INFO": Legacy("the model's size is always logged"),
    "MIXUP.CUTMIX_MINMAX": Legacy("CutMix draws its area from MIXUP.CUTMIX_ALPHA", (None, [])),
    "MIXUP.MODE": Legacy("a batch is mixed as a whole", ("batch",)),
    "MODEL.ARCH": Legacy("MODEL.MODEL_NAME alone chooses the model", ("vit",)),
    "MODEL.DROPOUT_RATE": Legacy(
        "the released ViT ignored it; dropout is TIMESFORMER.DROP_RATE here"
    ),
    "MODEL.HEAD_ACT": Legacy("the head returns logits"),
    "SOLVER.BASE_LR_SCALE_NUM_SHARDS": Legacy(
        f"{NEVER_READ}; SOLVER.BASE_LR_BATCH_SIZE is read", (False,)
    ),
    "SOLVER.WARMUP_FACTOR": Legacy(NEVER_READ),
    "TENSORBOARD.CATEGORIES_PATH": Legacy("classes have no categories here", ("",)),
    "TENSORBOARD.CLASS_NAMES_PATH": Legacy("classes.txt beside the lists names them", ("",)),
    "TENSORBOARD.CONFUSION_MATRIX.FIGSIZE": Legacy("the number of classes decides"),
    "TENSORBOARD.CONFUSION_MATRIX.SUBSET_PATH": Legacy("all classes are shown", ("",)),
    "TENSORBOARD.HISTOGRAM.ENABLE": Legacy("report.html shows what is confused", (False,)),
    "TENSORBOARD.LOG_DIR": Legacy("TensorBoard writes to OUTPUT_DIR/tensorboard", ("",)),
    "TENSORBOARD.MODEL_VIS.ENABLE": Legacy(
        "TENSORBOARD.HISTOGRAMS shows weights, tools/visualize.py attention", (False,)
    ),
    "TENSORBOARD.PREDICTIONS_PATH": Legacy("a run shows its own predictions", ("",)),
    "TEST.CHECKPOINT_TYPE": Legacy("Caffe2 files are not read", ("pytorch",)),
    "TENSORBOARD.WRONG_PRED_VIS.ENABLE": Legacy("report.html shows mistakes", (False,)),
    "TRAIN.CHECKPOINT_EPOCH_RESET": Legacy("use TRAIN.FINETUNE True", (False,)),
    "TRAIN.CHECKPOINT_INFLATE": Legacy("use TIMESFORMER.PRETRAINED_MODEL", (False,)),
    "TRAIN.CHECKPOINT_TYPE": Legacy("Caffe2 files are not read", ("pytorch",)),
}

_warned: set[str] = set()


def drop(name: str, value: Any, where: str) -> None:
    """Accept the legacy key `name` without effect; UserError if `value` asked for something."""
    entry = LEGACY[name]
    if entry.accepted is not None and value not in entry.accepted:
        allowed = " or ".join(repr(v) for v in entry.accepted)
        raise UserError(
            f"{where}: {name} is {value!r}, which cannot be honoured: {entry.reason}. "
            f"Remove the key (or leave it at {allowed})."
        )
    if name not in _warned:
        _warned.add(name)
        log.warning("%s: %s has no effect: %s.", where, name, entry.reason)
