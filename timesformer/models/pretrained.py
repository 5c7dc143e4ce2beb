"""Pretrained weights: make them fit a network, load them, say what came of it.

Dimensions: C channels, N patches, T frames, D width, P patch side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from timesformer.errors import UserError
from timesformer.models.inflate import has_added_attention, inflate
from timesformer.models.pos_embed import SpatialMode, resize_spatial, resize_temporal
from timesformer.weights import State
from timesformer.weights.files import summary
from timesformer.weights.geometry import HEAD_DIM

if TYPE_CHECKING:
    from timesformer.weights.load import Weights

HEAD = ("head.", "pre_logits.")  # pre_logits: an extra layer before the head of some image ViTs
# No image network has a counterpart of these; the last counts batches, for nothing we use.
BEYOND_IMAGES = ("time_embed", "_fc.", "rnn.", "num_batches_tracked")
PATCHES = "patch_embed.proj.weight"


@dataclass
class LoadReport:
    """What became of every tensor of a weights file and of the model; ``str()`` is for people."""

    source: str
    format: str = "TimeSformer"
    loaded: list[str] = field(default_factory=list)
    inflated: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    """Where the model is not the network that the weights were trained in, though they fit."""

    def __str__(self) -> str:
        rows = {
            "loaded": self.loaded,
            "inflated": self.inflated,
            "resized": self.resized,
            "newly initialised": self.new,
            "unused": self.unused,
        }
        lines = [f"{label:>18} {len(names):>4}  {summary(names)}" for label, names in rows.items()]
        notes = [f"{'note':>18}       {line}" for line in self.changes + self.other]
        return "\n".join([f"Weights from {self.source} ({self.format}):", *lines, *notes])


def network_of(model: nn.Module) -> nn.Module:
    """The network that a registered model holds as its attribute `model`, or `model` itself."""
    network = getattr(model, "model", model)
    if not hasattr(network, "forward_features"):
        raise UserError(f"{type(model).__name__} is no model that weights could be fitted to.")
    return network


def geometry_of(network: nn.Module) -> dict[str, Any]:
    """The arguments a `VisionTransformer` was built with; empty for other networks."""
    return getattr(network, "geometry", {})


def load_weights(
    model: nn.Module,
    weights: Weights,
    *,
    strict: bool = True,
    pos_embed_mode: SpatialMode = "bicubic",
) -> LoadReport:
    """Fits weights to the network in `model` and loads them: all, or nothing and a UserError.

    Attention that an image ViT lacks is inflated from what it has (`inflate`); embeddings of
    another grid or length are resized; patch projections of other channels are adapted
    (`other_channels`); a head of another class count stays as the network has it, and so does what
    an image ViT has no counterpart of; embeddings that it was told to do without are left out.
    Anything else that is missing, left over or of another shape is an error, unless `strict` is
    False: then the network keeps its own values there, and the report says where.
    """
    network = network_of(model)
    source = f"{weights.source} ({weights.format})"
    report = LoadReport(
        weights.source, weights.format, unused=list(weights.dropped), changes=list(weights.changes)
    )
    check_heads(weights, network, report)
    report.other = other_network(weights, network)
    own = network.state_dict()
    fitted = fit(weights, network, report, pos_embed_mode)
    if strict:
        expendable = HEAD + BEYOND_IMAGES if of_images(weights.state) else HEAD
        check_nothing_missing(fitted, own, expendable, source)
        check_nothing_left(fitted, own, source)
        check_shapes(fitted, own, source)
    else:
        fitted = what_fits(fitted, own, report)
    if not fitted:
        raise UserError(f"Nothing in {source} fits the model: choose another file.")
    report.new = [name for name in own if name not in fitted]
    report.loaded = [name for name in fitted if fitted[name] is weights.state.get(name)]
    network.load_state_dict({**own, **fitted})
    return report


def fit(weights: Weights, network: nn.Module, report: LoadReport, mode: SpatialMode) -> State:
    """The tensors of `weights` as `network` takes them; what is done to them is reported."""
    own = network.state_dict()
    state = without_unwanted(weights.state, network, report)
    state = without_other_head(state, own, report)
    if of_images(weights.state):
        state = inflated_state(state, own, report)
    state = resized_state(state, weights, network, report, mode)
    return with_other_channels(state, own, report)


def of_images(state: State) -> bool:
    """Whether nothing in a network's tensors shows that it looks along time."""
    return not has_added_attention(state) and "rnn.weight_ih_l0" not in state


def check_heads(weights: Weights, network: nn.Module, report: LoadReport) -> None:
    """UserError if the file states another number of heads, which no shape would show.

    Where it states none, a number that is unusual for the width is noted.
    """
    own, width = (geometry_of(network).get(name) for name in ("num_heads", "embed_dim"))
    stated = weights.stated.get("num_heads")
    if own and stated and own != stated:
        raise UserError(
            f"{weights.source} is of a network with {stated} attention heads, and the model has "
            f"{own}: build the model with num_heads {stated} (TIMESFORMER.NUM_HEADS)."
        )
    if own and not stated and own * HEAD_DIM != width:
        report.changes.append(
            f"the file does not state its heads; the model has {own} of width {width // own}, and "
            f"{HEAD_DIM} is usual"
        )


def other_network(weights: Weights, network: nn.Module) -> list[str]:
    """Arguments that the file states and `network` has otherwise, a line each."""
    own = geometry_of(network)
    return [
        f"{name} {weights.stated[name]} in the file, {own[name]} in the model"
        for name in ("attention_type", "pos_embed", "head_hidden_dim")
        if name in own and weights.stated.get(name, own[name]) != own[name]
    ]


def without_unwanted(state: State, network: nn.Module, report: LoadReport) -> State:
    """`state` without the embeddings that `network` was told to do without."""
    kind = geometry_of(network).get("pos_embed", "space_time")
    unwanted = {"space": ("time_embed",), "none": ("time_embed", "pos_embed")}.get(kind, ())
    left_out = [name for name in unwanted if name in state]
    report.unused += left_out
    report.other += [f"{name} in the file, none in the model" for name in left_out]
    return {name: tensor for name, tensor in state.items() if name not in unwanted}


def without_other_head(state: State, own: State, report: LoadReport) -> State:
    """`state` without a classification head that `own` has in another shape or not at all."""
    head = [name for name in state if name.startswith(HEAD)]
    if any(name not in own or own[name].shape != state[name].shape for name in head):
        report.unused += [f"{name} {tuple(state[name].shape)}" for name in head]
        return {name: tensor for name, tensor in state.items() if name not in head}
    return state


def inflated_state(state: State, own: State, report: LoadReport) -> State:
    """`state` with copies of its attention where only `own` has any."""
    copies = inflate(state, own)
    report.inflated += copies
    return state | copies


def with_other_channels(state: State, own: State, report: LoadReport) -> State:
    """`state` with its patch projection for as many channels as `own` has."""
    if PATCHES not in state or PATCHES not in own:
        return state
    weight, channels = state[PATCHES], own[PATCHES].shape[1]
    alike = weight.ndim == 4 and weight.shape[2:] == own[PATCHES].shape[2:]
    if not alike or weight.shape[1] in (0, channels):
        return state
    report.resized.append(f"{PATCHES} {weight.shape[1]} -> {channels} channels")
    return state | {PATCHES: other_channels(weight, channels)}


def other_channels(weight: Tensor, channels: int) -> Tensor:
    """A patch projection (D, C, P, P) for another number of channels, (D, channels, P, P).

    The filters go round: too many are added up, too few are shared out. So a picture whose channels
    are all alike gives the tokens that it gave before.
    """
    given = weight.shape[1]
    if channels < given:
        folded = weight.new_zeros(weight.shape[0], channels, *weight.shape[2:])
        return folded.index_add(1, torch.arange(given) % channels, weight)
    filters = torch.arange(channels) % given
    shares = filters.bincount()[filters]  # how many channels share the filter of each
    return weight[:, filters] / shares[:, None, None]


def what_fits(state: State, own: State, report: LoadReport) -> State:
    """The part of `state` that `own` has in the same shape; the rest is reported."""
    fits = {n: t for n, t in state.items() if n in own and own[n].shape == t.shape}
    report.unused += [f"{n} {tuple(t.shape)}" for n, t in state.items() if n not in fits]
    return fits


def resized_state(
    state: State, weights: Weights, network: nn.Module, report: LoadReport, mode: SpatialMode
) -> State:
    """`state` with its embeddings at the size of `network`."""
    own = network.state_dict()
    state = dict(state)
    if alike_in_width("pos_embed", state, own):
        grid, target = stated_grid(weights.stated), stated_grid(geometry_of(network))
        assert target is not None, "only a VisionTransformer has positions"
        # Without a statement, the same number of places is the same grid.
        if (grid or target) != target or state["pos_embed"].shape != own["pos_embed"].shape:
            grid = grid or square_grid(state["pos_embed"], report.source)
            state["pos_embed"] = resize_spatial(state["pos_embed"], grid, target, mode)
            report.resized.append(f"pos_embed {grid[0]}x{grid[1]} -> {target[0]}x{target[1]}")
    if alike_in_width("time_embed", state, own):
        given, wanted = state["time_embed"].shape[1], own["time_embed"].shape[1]
        if given != wanted:
            state["time_embed"] = resize_temporal(state["time_embed"], wanted)
            report.resized.append(f"time_embed {given} -> {wanted}")
    return state


def alike_in_width(name: str, state: State, own: State) -> bool:
    """Whether both have the embedding `name`, not empty, and of the same width D."""
    if name not in state or name not in own or state[name].ndim != 3:
        return False
    least = 2 if name == "pos_embed" else 1  # its first is that of the class token
    return state[name].shape[1] >= least and state[name].shape[::2] == own[name].shape[::2]


def stated_grid(stated: Mapping[str, Any]) -> tuple[int, int] | None:
    """The (h, w) of the patches of a network, if its geometry is stated."""
    if "img_size" not in stated or "patch_size" not in stated:
        return None
    size = stated["img_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return height // stated["patch_size"], width // stated["patch_size"]


def square_grid(pos_embed: Tensor, source: str) -> tuple[int, int]:
    """The (h, w) that (1, 1 + N, D) was trained on, which nothing states: it has to be square."""
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
) -> None:
    """UserError if `state` lacks a tensor whose name has no part among the `expendable`."""
    missing = [name for name in own if name not in state]
    lost = [name for name in missing if not any(part in name for part in expendable)]
    if lost:
        raise UserError(
            f"{source} lacks tensors that the model has: {summary(lost)}. Build the model with the "
            "attention type, depth and qkv_bias of the file, or choose another file."
        )


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
