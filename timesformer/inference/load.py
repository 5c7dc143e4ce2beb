"""From a checkpoint to a model that is ready, with the config and the names that belong to it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode

from timesformer.annotations.table import read_class_names
from timesformer.checkpoints import files
from timesformer.checkpoints.merge import merge
from timesformer.checkpoints.state import recorded_config
from timesformer.config.load import read_yaml, resolve
from timesformer.distributed.process import Process
from timesformer.engine.prepare import Runtime, prepare_device, usable_cores
from timesformer.engine.test import load_tested_weights
from timesformer.errors import UserError
from timesformer.models.build import VideoClassifier, build_model
from timesformer.weights.load import Weights, read_weights

log = logging.getLogger("timesformer")

MAX_WORKERS = 4  # processes that decode; more of them than the model can keep busy are for nothing


@dataclass(frozen=True)
class Trained:
    """A trained model, in evaluation on `device`, none of its weights random.

    `cfg` is that of its training, frozen, with what was asked for instead and what this machine
    has. `class_names` has one name for each class, its number where nobody named it; `source` is
    the checkpoint, `averaged` whether the weights are the running average in it.
    """

    cfg: CfgNode
    model: VideoClassifier
    class_names: tuple[str, ...]
    source: str
    runtime: Runtime
    averaged: bool = False

    @property
    def device(self) -> torch.device:
        return self.runtime.device

    @property
    def folder(self) -> Path:
        """Where what is made of the model goes by default: OUTPUT_DIR of its run, else here."""
        place = Path(self.source).parent
        return place.parent if place == files.folder(str(place.parent)) else Path()

    @cached_property
    def fingerprint(self) -> str:
        """Hex digits that change with any weight, but not with where the checkpoint lies."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()[:16]


def load_trained(
    checkpoint: str | Path,
    *,
    cfg_file: str | Path | None = None,
    overrides: Sequence[Any] = (),
    device: str = "auto",
    averaged: bool = False,
) -> Trained:
    """A model from a checkpoint, as it would be tested.

    Args:
        checkpoint: a file or an address (`read_weights`), or the OUTPUT_DIR of a run, which stands
            for its newest good checkpoint.
        cfg_file: the config; by default the one in the checkpoint, else config.yaml beside it or in
            the run's folder. Released files have none.
        overrides: KEY VALUE pairs that win over it.
        device: ``cpu``, ``cuda``, ``cuda:1`` …; ``auto`` is the GPU where there is one.
        averaged: take the running average of the weights (TRAIN.EMA_DECAY).

    Raises:
        UserError: no checkpoint, no config, or one that does not fit the other; no such device.
    """
    source = chosen_file(checkpoint)
    where = chosen_device(device)
    weights = read_weights(source, averaged=averaged)
    cfg = config_of(weights, cfg_file, overrides, where)
    runtime = prepare_device(cfg, Process(local_rank=where.index or 0))
    model = build_model(cfg, pretrained=False)
    load_tested_weights(model, weights, cfg.TIMESFORMER.POS_EMBED_RESIZE)
    model.to(runtime.device).eval()
    return Trained(cfg, model, names_of_classes(weights, cfg), str(source), runtime, averaged)


def chosen_file(checkpoint: str | Path) -> str | Path:
    """`checkpoint`, or the newest good one of the run whose folder it is, in one piece."""
    path = Path(checkpoint)
    if "://" in str(checkpoint) or not path.is_dir():
        return checkpoint
    if path.suffix == ".dcp":
        return merge(path)
    output_dir = str(path.parent if path.name == "checkpoints" else path)
    newest = files.newest_good(output_dir)
    if newest is not None:
        return merge(newest) if newest.is_dir() else newest
    best = files.folder(output_dir) / files.BEST
    if best.is_file():
        return best
    if files.folder(output_dir).is_dir():
        raise UserError(f"{files.folder(output_dir)} holds no checkpoint that is whole.")
    return checkpoint  # a folder that another program wrote


def chosen_device(device: str) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = torch.device("meta")
    if chosen.type not in ("cpu", "cuda"):
        raise UserError(f"The device '{device}' is not known: use auto, cpu, cuda or cuda:1.")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"The device '{device}' is not there: this machine shows "
            f"{torch.cuda.device_count()} GPUs. Use --device auto."
        )
    return chosen


def config_of(
    weights: Weights, cfg_file: str | Path | None, overrides: Sequence[Any], device: torch.device
) -> CfgNode:
    """The config of the training, for this machine."""
    tree, where = recorded(weights, cfg_file)
    return resolve(tree, [*of_this_machine(tree, device), *overrides], where=where)


def recorded(weights: Weights, cfg_file: str | Path | None) -> tuple[dict[str, Any], str]:
    """The config as it was written, and where."""
    if cfg_file is not None:
        return read_yaml(cfg_file), str(cfg_file)
    if tree := recorded_config({"cfg": weights.config}):
        return tree, f"the config in {weights.source}"
    place = Path(weights.source).parent
    for folder in (place, place.parent):
        if (folder / "config.yaml").is_file():
            return read_yaml(folder / "config.yaml"), str(folder / "config.yaml")
    raise UserError(
        f"{weights.source} does not say how it was trained, and no config.yaml lies beside it: "
        "name its config, such as --cfg configs/Kinetics/TimeSformer_divST_8x32_224.yaml."
    )


def of_this_machine(tree: dict[str, Any], device: torch.device) -> list[Any]:
    """KEY VALUE pairs for what was chosen for the machine of the training, and for no other."""
    on_gpu = device.type == "cuda"
    changes: dict[str, Any] = {
        "TRAIN.ENABLE": False,
        "TRAIN.COMPILE": "none",  # takes minutes, which a few videos are not worth
        "TEST.ENABLE": True,
        "NUM_GPUS": int(on_gpu),
        "NUM_PROCS": 1,
        "NUM_SHARDS": 1,
        "SHARD_ID": 0,
        "DATA_LOADER.NUM_WORKERS": min(MAX_WORKERS, usable_cores() // 2),
    }
    if not on_gpu and stated(tree, "TRAIN", "PRECISION") in ("fp16", "tf32"):
        changes["TRAIN.PRECISION"] = "fp32"
    if not on_gpu and stated(tree, "DATA", "DECODER") == "torchcodec_cuda":
        changes["DATA.DECODER"] = "pyav"  # the same frames
    return [item for pair in changes.items() for item in pair]


def stated(tree: dict[str, Any], section: str, key: str) -> Any:
    keys = tree.get(section)
    return keys.get(key) if isinstance(keys, dict) else None


def names_of_classes(weights: Weights, cfg: CfgNode) -> tuple[str, ...]:
    """Those in the checkpoint, or else in the data's classes.txt; numbers where there are none."""
    names = weights.class_names
    listed = Path(cfg.DATA.PATH_TO_DATA_DIR, "classes.txt")
    if not names and listed.is_file():
        names = read_class_names(listed)
        if len(names) != cfg.MODEL.NUM_CLASSES:
            log.warning(
                "%s names other classes than the %d of %s: not used",
                listed,
                cfg.MODEL.NUM_CLASSES,
                weights.source,
            )
            names = ()
    return names or tuple(map(str, range(cfg.MODEL.NUM_CLASSES)))
