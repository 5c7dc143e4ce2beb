"""From weights to the one network they are of: its geometry in full, at the size it is wanted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from timesformer.errors import UserError
from timesformer.models.inflate import has_added_attention
from timesformer.models.pretrained import load_weights
from timesformer.models.transformer import VisionTransformer
from timesformer.weights.files import summary
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
    geometry = known_geometry(weights)
    geometry |= {name: size for name, size in wanted.items() if name == "num_heads"}
    log.info("Read %s (%s): %s", weights.source, weights.format, geometry)
    if guesses := [f"{name} {geometry[name]}" for name in guessed(weights) if name not in wanted]:
        log.info("Assumed, because the file does not state it: %s", ", ".join(guesses))
    for change in [f"{name} left out" for name in weights.dropped] + weights.changes:
        log.info("Changed: %s", change)
    # Copies, because views of a larger tensor would take the whole of it along.
    state = {n: t.clone(memory_format=torch.contiguous_format) for n, t in weights.state.items()}
    whole = replace(weights, state=state, stated=geometry)
    check_fits(whole)
    return at_size(whole, wanted)


def known_geometry(weights: Weights) -> dict[str, Any]:
    """What is stated or can be read off the tensors."""
    geometry = weights.geometry
    if not geometry:
        raise UserError(
            f"{weights.source} ({weights.format}) is no TimeSformer and no plain image ViT, and "
            "only these can be exported: choose another file."
        )
    size = geometry["img_size"]
    square = isinstance(size, list) and len(size) == 2 and size[0] == size[1]
    return geometry | ({"img_size": size[0]} if square else {})


def guessed(weights: Weights) -> list[str]:
    """Arguments that neither the file nor its tensors tell."""
    names = ["num_heads"]
    names += [] if "pos_embed" in weights.state else ["img_size"]
    if "time_embed" not in weights.state:
        names += ["num_frames"]
        names += [] if has_added_attention(weights.state) else ["attention_type"]
    return [name for name in names if name not in weights.stated]


def check_fits(weights: Weights) -> None:
    """UserError unless the tensors are those of the network that the geometry describes."""
    own = {name: t.shape for name, t in build(weights, "meta").state_dict().items()}
    given = {name: t.shape for name, t in weights.state.items()}
    if strange := [name for name in {**own, **given} if own.get(name) != given.get(name)]:
        raise UserError(
            f"The tensors of {weights.source} are not those of {dict(weights.stated)}: "
            f"{summary(strange)} differ. State the geometry of the network: as .safetensors with "
            "a .json file of the same name beside it, as --to safetensors writes one."
        )


def build(weights: Weights, device: str = "cpu") -> VisionTransformer:
    """The network of ``weights.stated``, with random weights; on "meta" without any."""
    try:
        with torch.device(device):
            return VisionTransformer(**weights.stated)
    except UserError:
        raise
    # A geometry comes out of a file, and what stands in it may be no number at all.
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
    log.info("Resized: %s", summary(load_weights(network, weights).resized))
    own = network.state_dict()
    both = [name for name in EMBEDDINGS if name in weights.state]
    new = {name: own[name].to(weights.state[name].dtype) for name in both}
    return replace(resized, state=weights.state | new)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the disk does not allow, as a sentence; torch calls a full one a RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"'{path.name}' could not be written ({error}): make room, or choose another place."
        ) from error
