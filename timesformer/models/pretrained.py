"""Pretrained weights: make them fit a network, load them, say what came of it.

Dimensions: N patches, T frames, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from timesformer.errors import UserError
from timesformer.models.inflate import inflate, knows_time
from timesformer.models.pos_embed import SpatialMode, resize_spatial, resize_temporal
from timesformer.models.weights import State, load_state_file, summary

if TYPE_CHECKING:
    from timesformer.models.transformer import VisionTransformer

HEAD = ("head.", "pre_logits.")  # pre_logits: an extra layer before the head of some timm ViTs
BEYOND_IMAGES = ("time_embed", ".temporal_fc.")  # no image network has a counterpart of these


@dataclass
class LoadReport:
    """What became of every tensor of a weights file and of the model; ``str()`` is for people."""

    source: str
    loaded: list[str] = field(default_factory=list)
    inflated: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rows = {
            "loaded": self.loaded,
            "inflated": self.inflated,
            "resized": self.resized,
            "newly initialised": self.new,
            "unused": self.unused,
        }
        lines = [f"{label:>18} {len(names):>4}  {summary(names)}" for label, names in rows.items()]
        return "\n".join([f"Weights from {self.source}:", *lines])


def load_pretrained(
    model: nn.Module, path: str | Path, *, pos_embed_mode: SpatialMode = "bicubic"
) -> LoadReport:
    """Loads a weights file into the network inside `model`: see `load_state_file`, `load_state`."""
    network = network_of(model)
    state = load_state_file(path)
    return load_state(network, state, source=str(path), pos_embed_mode=pos_embed_mode)


def network_of(model: nn.Module) -> VisionTransformer:
    """The network that a registered model holds as its attribute `model`, or `model` itself."""
    network = getattr(model, "model", model)
    if not hasattr(network, "grid"):
        raise UserError(
            f"{type(model).__name__} is no TimeSformer: weights cannot be fitted to it."
        )
    return cast("VisionTransformer", network)


def load_state(
    network: VisionTransformer,
    state: Mapping[str, Tensor],
    *,
    source: str = "state dict",
    pos_embed_mode: SpatialMode = "bicubic",
) -> LoadReport:
    """Fits `state` to `network` and loads it: all of it, or nothing and a UserError.

    Temporal attention that an image ViT lacks is inflated from its spatial attention (`inflate`);
    position embeddings of another grid or length are resized; a head of another class count stays
    as `network` has it, and so does what an image ViT has no counterpart of. Anything else that is
    missing, left over or of another shape is an error.
    """
    report = LoadReport(source)
    own = network.state_dict()
    expendable = HEAD if knows_time(state) else HEAD + BEYOND_IMAGES
    fitted = without_other_head(state, own, report)
    fitted = inflated_state(fitted, own, report)
    fitted = resized_state(fitted, network, report, pos_embed_mode)
    report.new = check_nothing_missing(fitted, own, expendable, source)
    check_nothing_left(fitted, own, source)
    check_shapes(fitted, own, source)
    changed = {*report.inflated, *(line.split()[0] for line in report.resized)}
    report.loaded = [name for name in fitted if name not in changed]
    network.load_state_dict({**own, **fitted})
    return report


def without_other_head(state: Mapping[str, Tensor], own: State, report: LoadReport) -> State:
    """`state` without a classification head that `own` has in another shape or not at all."""
    head = [name for name in state if name.startswith(HEAD)]
    if any(name not in own or own[name].shape != state[name].shape for name in head):
        report.unused += [f"{name} {tuple(state[name].shape)}" for name in head]
        return {name: tensor for name, tensor in state.items() if name not in head}
    return dict(state)


def inflated_state(state: State, own: State, report: LoadReport) -> State:
    """`state` with temporal attention, where only `own` has any."""
    if knows_time(state):
        return state
    copies = inflate(state, own)
    report.inflated += copies
    return state | copies


def resized_state(
    state: State, network: VisionTransformer, report: LoadReport, mode: SpatialMode
) -> State:
    """`state` with its embeddings at the size of `network`."""
    own = network.state_dict()
    state = dict(state)
    if differs_in_length("pos_embed", state, own):
        target = network.grid.height, network.grid.width
        grid = square_grid(state["pos_embed"], report.source)
        state["pos_embed"] = resize_spatial(state["pos_embed"], grid, target, mode)
        report.resized.append(f"pos_embed {grid[0]}x{grid[1]} -> {target[0]}x{target[1]}")
    if differs_in_length("time_embed", state, own):
        num_frames = state["time_embed"].shape[1]
        state["time_embed"] = resize_temporal(state["time_embed"], network.grid.frames)
        report.resized.append(f"time_embed {num_frames} -> {network.grid.frames}")
    return state


def differs_in_length(name: str, state: State, own: State) -> bool:
    """Whether both have the embedding `name`, of the same width D and another length."""
    if name not in state or name not in own:
        return False
    (*rest, length, width), (_, own_length, own_width) = state[name].shape, own[name].shape
    return rest == [1] and length != own_length and width == own_width


def square_grid(pos_embed: Tensor, source: str) -> tuple[int, int]:
    """The (h, w) that (1, 1 + N, D) was trained on; files do not say, so it has to be a square."""
    patches = pos_embed.shape[1] - 1
    side = math.isqrt(patches)
    if side * side != patches:
        raise UserError(
            f"'pos_embed' in {source} has {patches} patch positions, which is no square grid, so "
            "it cannot be resized: build the model at the image size the file was trained at."
        )
    return side, side


def check_nothing_missing(
    state: State, own: State, expendable: tuple[str, ...], source: str
) -> list[str]:
    """Names that `state` lacks and may lack; UserError for any other."""
    missing = [name for name in own if name not in state]
    lost = [name for name in missing if not any(part in name for part in expendable)]
    if lost:
        raise UserError(
            f"{source} lacks tensors that the model has: {summary(lost)}. Build the model with the "
            "attention type, depth and qkv_bias of the file, or choose another file."
        )
    return missing


def check_nothing_left(state: State, own: State, source: str) -> None:
    """UserError if `state` holds a tensor that `own` has no place for."""
    left = [name for name in state if name not in own]
    if left:
        raise UserError(
            f"{source} holds tensors that the model has no place for: {summary(left)}. Build the "
            "model with the attention type and depth of the file, or choose another file."
        )


def check_shapes(state: State, own: State, source: str) -> None:
    """UserError at the first tensor of another shape than in `own`."""
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise UserError(
                f"'{name}' has shape {tuple(tensor.shape)} in {source} and "
                f"{tuple(own[name].shape)} in the model. Build the model with the embed_dim, "
                "patch_size, in_chans and mlp_ratio of the file, or choose another file."
            )
