"""Weights files: ours, and those of the released code, Transformers and MMAction2.

A writer takes `Weights` whose geometry is stated in full and the path to write to, reads back what
it wrote and returns what that proved, for people. All tensors keep their dtype and every bit.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

import timesformer
from timesformer.config.load import load_config
from timesformer.errors import UserError
from timesformer.export.network import writing
from timesformer.models.build import KEY_OF
from timesformer.weights.files import summary
from timesformer.weights.formats import to_foreign_names
from timesformer.weights.geometry import IN_CONFIG_JSON
from timesformer.weights.load import Weights, read_weights

log = logging.getLogger("timesformer")

RELEASED_SCHEMES = ("divided_space_time", "joint_space_time", "space_only")
# Of the geometry, what reading back has to get from elsewhere than the tensors.
BESIDE_TENSORS = ("attention_type", "img_size", "num_frames", "num_heads")
MEAN, STD = 0.45, 0.225  # of values in 0..1, as released: what a file is taken to mean if silent


def write_released(weights: Weights, path: Path) -> str:
    """A checkpoint as the released code writes it; ``model_state`` has names with ``model.``.

    ``cfg`` is a config for this package, or empty for a network that no config can name: without a
    head, of other than three channels, for frames that are not square.

    Raises:
        UserError: a network that the released code does not have.
    """
    refuse(weights, "the released code", beyond_released(weights))
    checkpoint = {
        "epoch": 0,
        "model_state": {f"model.{name}": tensor for name, tensor in weights.state.items()},
        "optimizer_state": {},
        "cfg": config_text(weights),
        "geometry": dict(weights.stated),
    }
    return write_pickle(checkpoint, weights, path)


def write_mmaction2(weights: Weights, path: Path) -> str:
    """A checkpoint for MMAction2's TimeSformer; its loader passes over the entry ``geometry``.

    Raises:
        UserError: a network that MMAction2 does not have.
    """
    geometry = weights.stated
    ours = {
        f"with an MLP {geometry['mlp_ratio']:g} times as wide": geometry["mlp_ratio"] != 4,
        "without biases for queries, keys and values": not geometry["qkv_bias"],
    }
    refuse(weights, "MMAction2", beyond_released(weights) | ours)
    state = to_foreign_names(weights.state, "MMAction2 TimeSformer")
    content = {"state_dict": state, "meta": {}, "geometry": dict(geometry)}
    proof = write_pickle(content, weights, path)
    log.info(
        "MMAction2's config has to normalise as in training: mean %g and std %g for each channel, "
        "unless the weights are MMAction2's own (127.5 and 127.5) or DATA.MEAN was changed",
        255 * MEAN,
        255 * STD,
    )
    return proof


def write_safetensors(weights: Weights, path: Path) -> str:
    """Our own names as safetensors, and beside it a .json file of the same name: the geometry."""
    with writing(path):
        save_file(weights.state, path, metadata={"format": "pt"})
    about = {
        "geometry": dict(weights.stated),
        "class_names": list(weights.class_names),
        "format": "timesformer",
        "version": timesformer.__version__,
        "source": weights.source,
    }
    write_json(about, path.with_suffix(".json"))
    return read_back(weights, path)


def write_transformers(
    weights: Weights,
    path: Path,
    *,
    class_names: Sequence[str] = (),
) -> str:
    """A folder for ``TimesformerForVideoClassification.from_pretrained``.

    Without a head it is one for ``TimesformerModel``. Its space-only network gives the logits of
    every frame, ours those of the frames' average: they agree on clips of one frame.

    Args:
        class_names: in the order of the labels; else those that the weights state, else
            ``LABEL_0`` and so on.

    Raises:
        UserError: a network that Transformers does not have.
    """
    square = isinstance(weights.stated["img_size"], int)
    oblong = {"for frames that are not square": not square}
    refuse(weights, "Transformers", beyond_released(weights) | oblong)
    state = to_foreign_names(weights.state, "Transformers TimeSformer")
    with writing(path):
        path.mkdir()
        save_file(state, path / "model.safetensors", metadata={"format": "pt"})
    write_json(config_json(weights, class_names or weights.class_names), path / "config.json")
    preprocessor = preprocessor_json(weights)
    write_json(preprocessor, path / "preprocessor_config.json")
    log.info(
        "preprocessor_config.json normalises with mean %s and std %s, %s",
        preprocessor["image_mean"],
        preprocessor["image_std"],
        "as in training"
        if weights.normalization
        else "which the file does not state: correct it "
        "there if the weights are MMAction2's (0.5 and 0.5) or DATA.MEAN was changed",
    )
    return read_back(weights, path)


def beyond_released(weights: Weights) -> dict[str, bool]:
    """What the released code and its ports have no network with, and whether it is so here."""
    geometry = weights.stated
    scheme = geometry["attention_type"]
    embeddings = {"pos_embed"} if scheme == "space_only" else {"pos_embed", "time_embed"}
    return {
        f"with {scheme} attention": scheme not in RELEASED_SCHEMES,
        "with a hidden layer in the head": geometry["head_hidden_dim"] > 0,
        "without embeddings of place and time": not embeddings <= weights.state.keys(),
    }


def refuse(weights: Weights, program: str, findings: Mapping[str, bool]) -> None:
    """UserError for the first of `findings` that is so."""
    for words, is_so in findings.items():
        if is_so:
            raise UserError(
                f"{weights.source} cannot be written for {program}, which has no TimeSformer "
                f"{words}: choose --to safetensors, torch_export or onnx."
            )


def config_text(weights: Weights) -> str:
    """YAML of a config of this package that builds the network; empty if there is none."""
    geometry = weights.stated
    side = geometry["img_size"]
    if not isinstance(side, int) or geometry["in_chans"] != 3 or geometry["num_classes"] == 0:
        return ""
    keys = {KEY_OF.get(name, f"TIMESFORMER.{name.upper()}"): geometry[name] for name in geometry}
    keys["DATA.INPUT_CHANNEL_NUM"] = [3]
    keys["DATA.TEST_CROP_SIZE"] = side
    keys |= {f"DATA.{name.upper()}": values for name, values in weights.normalization.items()}
    # 256 and 320 for 224, as in the released configs.
    keys["DATA.TRAIN_JITTER_SCALES"] = [side * 8 // 7, side * 10 // 7]
    return str(load_config(None, [part for pair in keys.items() for part in pair]).dump())


def config_json(weights: Weights, class_names: Sequence[str]) -> dict[str, Any]:
    """Transformers' config.json."""
    geometry = weights.stated
    headed = geometry["num_classes"] > 0
    names = list(class_names) or [f"LABEL_{i}" for i in range(geometry["num_classes"])]
    return {
        "architectures": ["TimesformerForVideoClassification" if headed else "TimesformerModel"],
        "model_type": "timesformer",
        **{theirs: geometry[ours] for ours, theirs in IN_CONFIG_JSON.items()},
        "intermediate_size": weights.state["blocks.0.mlp.fc1.weight"].shape[0],
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "drop_path_rate": 0,
        "initializer_range": 0.02,
        "id2label": {str(label): name for label, name in enumerate(names)},
        "label2id": {name: label for label, name in enumerate(names)},
    }


def preprocessor_json(weights: Weights) -> dict[str, Any]:
    """Transformers' preprocessor_config.json: what a test with one crop does to a frame."""
    side, channels = weights.stated["img_size"], weights.stated["in_chans"]
    return {
        "image_processor_type": "VideoMAEImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 2,  # bilinear
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": weights.normalization.get("mean", [MEAN] * channels),
        "image_std": weights.normalization.get("std", [STD] * channels),
    }


def write_pickle(content: dict[str, Any], weights: Weights, path: Path) -> str:
    with writing(path):
        torch.save(content, path)
    return read_back(weights, path)


def write_json(content: dict[str, Any], path: Path) -> None:
    with writing(path):
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_back(weights: Weights, path: Path) -> str:
    """What was written against what should have been; UserError if they differ."""
    again = read_weights(path)
    strange = [
        name
        for name in sorted(weights.state.keys() | again.state.keys())
        if not same_bytes(weights.state.get(name), again.state.get(name))
    ]
    strange += [key for key in BESIDE_TENSORS if again.geometry[key] != weights.stated[key]]
    if strange:
        raise UserError(
            f"'{path.name}' does not hold what was written into it ({summary(strange)} differ), so "
            "it was removed: look after the disk and try again."
        )
    return f"{len(again.state)} tensors and the geometry read back the same, byte by byte"


def same_bytes(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether both are there and of one shape, dtype and content; NaN equals itself."""
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one.flatten().view(torch.uint8), other.flatten().view(torch.uint8))
