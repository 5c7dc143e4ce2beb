"""From weights to the one network they are of: its geometry in full, at the size it is wanted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from timesformer.errors import UserError
from timesformer.models import VisionTransformer
from timesformer.models.inflate import has_added_attention
from timesformer.models.pretrained import load_weights
from timesformer.weights.files import State, summary
from timesformer.weights.load import Weights

log = logging.getLogger("timesformer")

EMBEDDINGS = ("pos_embed", "time_embed")


def as_network(weights: Weights, wanted: Mapping[str, int]) -> Weights:
    """`weights` with the whole geometry in `stated`; what came in and what was assumed is logged.

    Args:
        weights: of a TimeSformer or an image ViT, which is a space-only TimeSformer of one frame.
        wanted: ``num_heads``, which wins over what is known of them; ``num_frames`` and
            ``img_size``, to which the embeddings are resized. All other tensors stay bit for bit.

    Raises:
        UserError: another network, tensors and geometry that do not agree, or impossible sizes.
    """
    geometry = {**known_geometry(weights), **{k: v for k, v in wanted.items() if k == "num_heads"}}
    log.info("Read %s (%s): %s", weights.source, weights.format, in_words(geometry))
    if guesses := [f"{name} {geometry[name]}" for name in guessed(weights) if name not in wanted]:
        log.info("Assumed, because the file does not state it: %s", ", ".join(guesses))
    if weights.dropped:
        log.info("Left out: %s", summary(weights.dropped))
    for change in weights.changes:
        log.info("Changed: %s", change)
    # Copies, because views of a larger tensor would take the whole of it along.
    state = {n: t.clone(memory_format=torch.contiguous_format) for n, t in weights.state.items()}
    whole = replace(weights, state=state, stated=geometry)
    check_fits(whole)
    return at_size(whole, wanted)


def known_geometry(weights: Weights) -> dict[str, Any]:
    """What is stated or can be read off the tensors."""
    try:
        geometry = weights.geometry
    except (KeyError, ValueError, IndexError) as error:
        raise not_ours(weights) from error  # patches of several frames, or half of a network
    if "depth" not in geometry or "embed_dim" not in geometry:
        raise not_ours(weights)
    size = geometry["img_size"]
    if not isinstance(size, int) and len(set(size)) == 1:
        geometry["img_size"] = size[0]
    return geometry


def not_ours(weights: Weights) -> UserError:
    return UserError(
        f"{weights.source} ({weights.format}) holds no TimeSformer and no plain image ViT, and only "
        "these can be exported: choose another file."
    )


def guessed(weights: Weights) -> list[str]:
    """Arguments that neither the file nor its tensors tell."""
    names = ["num_heads"]
    if "pos_embed" not in weights.state:
        names.append("img_size")
    if "time_embed" not in weights.state:
        names.append("num_frames")
        names += [] if has_added_attention(weights.state) else ["attention_type"]
    return [name for name in names if name not in weights.stated]


def in_words(geometry: Mapping[str, Any]) -> str:
    size = geometry["img_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return (
        f"{geometry['attention_type']}, {geometry['num_frames']} frames of {height} x {width}, "
        f"patches of {geometry['patch_size']}, width {geometry['embed_dim']}, depth "
        f"{geometry['depth']}, {geometry['num_heads']} heads, {geometry['num_classes']} classes"
    )


def check_fits(weights: Weights) -> None:
    """UserError unless the tensors are those of the network that the geometry describes."""
    own = build(weights, "meta").state_dict()
    state = weights.state
    strange = [n for n in own.keys() | state.keys() if shape_of(n, own) != shape_of(n, state)]
    if strange:
        raise UserError(
            f"The tensors of {weights.source} are not those of the network it is said to hold "
            f"({in_words(weights.stated)}): {summary(sorted(strange))} differ. State its geometry "
            "in a .json file of the same name beside it, as --to safetensors writes one."
        )


def shape_of(name: str, state: Mapping[str, torch.Tensor]) -> torch.Size | None:
    return state[name].shape if name in state else None


def build(weights: Weights, device: str = "cpu") -> VisionTransformer:
    """The network of ``weights.stated``, with random weights; on "meta" with none."""
    try:
        with torch.device(device):
            return VisionTransformer(**weights.stated)
    except UserError:
        raise
    # A geometry comes out of a file, and whatever stands in one may be no number at all.
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise UserError(
            f"{weights.source} states a geometry that no network can have "
            f"({str(error).splitlines()[0]}): correct it there."
        ) from error


def loaded(weights: Weights) -> VisionTransformer:
    """The network with its weights as float32, for evaluation alone."""
    network = build(weights)
    network.load_state_dict(weights.state)
    return network.eval().requires_grad_(False)


def at_size(weights: Weights, wanted: Mapping[str, int]) -> Weights:
    """The network for clips of the size `wanted`: embeddings resized, as where training starts."""
    resized = replace(weights, stated={**weights.stated, **wanted})
    if resized.stated == weights.stated:
        return weights
    network = build(resized)
    for line in load_weights(network, weights).resized:
        log.info("Resized: %s", line)
    own = network.state_dict()
    state: State = {
        name: own[name].to(tensor.dtype) if name in EMBEDDINGS else tensor
        for name, tensor in weights.state.items()
    }
    return replace(resized, state=state)
