"""The names that other programs give to weights, and ours: one table for each program.

A table maps our module names to theirs; ``#`` stands for the index of the block. Read one way it
loads, read the other way it exports. What a table does not list is an error, never a guess.

The programs agree with ours in what they compute, with these reservations. Transformers' ViT has
an epsilon of 1e-12 in its norms, ours 1e-6. Transformers' space-only TimeSformer does not average
over frames: its logits are those of single frames. MMAction2 expects frames normalised with mean
and std 127.5, and its MLPs are always four times as wide as the tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from timesformer.errors import UserError
from timesformer.weights import State
from timesformer.weights.files import summary
from timesformer.weights.image_formats import (
    BIG_VISION_VIT,
    JAX_VIT,
    TORCHVISION_VIT,
    TORCHVISION_VIT_BEFORE_0_14,
    TRANSFORMERS_VIT,
    TRANSFORMERS_VIT_IN_MEMORY,
    Adapted,
    adapt_jax,
    adapt_split_qkv,
    adapt_torch_vit,
)

# DDP; the registered entry points, Lightning; torch.compile of a whole model; averaged weights.
WRAPPERS = re.compile(r"^((module|model|_orig_mod|ema|ema_model)\.)+")
INDEX = re.compile(r"(?<=[._])\d+(?=\.)")  # the first in a name is the block's, in every format
EMBEDDINGS = ("cls_token", "pos_embed", "time_embed")
DROPPED_EVERYWHERE = r"n_averaged$"  # how many steps torch.optim.swa_utils averaged over


@dataclass(frozen=True)
class Translation:
    """A state under our names."""

    state: State
    format: str
    """The program it comes from, for people."""
    dropped: list[str]
    """Names in the file, without wrappers, that a TimeSformer does not need."""
    changes: list[str] = field(default_factory=list)
    """What was changed besides names and layout, a line each."""


def as_is(state: State, source: str) -> Adapted:
    """What needs no more than names."""
    return state, []


def adapt_resnet(state: State, source: str) -> Adapted:
    """A ResNet as our baselines hold it: the classifier is ``head``, the rest ``backbone``."""
    headed = {re.sub(r"^fc\.", "head.", name): tensor for name, tensor in state.items()}
    parts = re.compile(r"^(?=(conv1|bn1|layer\d)\.)")
    return {parts.sub("backbone.", name): tensor for name, tensor in headed.items()}, []


@dataclass(frozen=True)
class Format:
    """How one program names the parts of a network."""

    name: str
    mark: str
    """Regular expression; a file with such a name, and no earlier format's, has this format."""
    tables: tuple[Mapping[str, str], ...] = ()
    """Our modules to theirs, without `prefix`; others are older or newer names; empty: as ours."""
    prefix: str = ""
    """What stands before their names, except those of the head; it may be missing in files."""
    dropped: str = DROPPED_EVERYWHERE
    """Regular expression for the beginning of names that are not needed."""
    adapt: Callable[[State, str], Adapted] = as_is
    """What is left to do once the names are ours."""
    note: str = ""
    """What a person has to know to get the results that the weights gave there."""


TRANSFORMERS_TIMESFORMER = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "time_embed": "embeddings.time_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "blocks.#.temporal_norm1": "encoder.layer.#.temporal_layernorm",
    "blocks.#.temporal_attn.qkv": "encoder.layer.#.temporal_attention.attention.qkv",
    "blocks.#.temporal_attn.proj": "encoder.layer.#.temporal_attention.output.dense",
    "blocks.#.temporal_fc": "encoder.layer.#.temporal_dense",
    "blocks.#.norm1": "encoder.layer.#.layernorm_before",
    "blocks.#.attn.qkv": "encoder.layer.#.attention.attention.qkv",
    "blocks.#.attn.proj": "encoder.layer.#.attention.output.dense",
    "blocks.#.norm2": "encoder.layer.#.layernorm_after",
    "blocks.#.mlp.fc1": "encoder.layer.#.intermediate.dense",
    "blocks.#.mlp.fc2": "encoder.layer.#.output.dense",
    "norm": "layernorm",
    "head": "classifier",
}

MMACTION2 = {  # without temporal attention
    "cls_token": "cls_token",
    "pos_embed": "pos_embed",
    "time_embed": "time_embed",
    "patch_embed.proj": "patch_embed.projection",
    "blocks.#.norm1": "transformer_layers.layers.#.norms.0",
    "blocks.#.attn.qkv": "transformer_layers.layers.#.attentions.0.attn.in_proj_",
    "blocks.#.attn.proj": "transformer_layers.layers.#.attentions.0.attn.out_proj",
    "blocks.#.norm2": "transformer_layers.layers.#.norms.1",
    "blocks.#.mlp.fc1": "transformer_layers.layers.#.ffns.0.layers.0.0",
    "blocks.#.mlp.fc2": "transformer_layers.layers.#.ffns.0.layers.1",
    "norm": "norm",
    "head": "cls_head.fc_cls",
}

MMACTION2_DIVIDED = MMACTION2 | {  # time is the first attention, and each part holds its own norm
    "blocks.#.temporal_norm1": "transformer_layers.layers.#.attentions.0.norm",
    "blocks.#.temporal_attn.qkv": "transformer_layers.layers.#.attentions.0.attn.in_proj_",
    "blocks.#.temporal_attn.proj": "transformer_layers.layers.#.attentions.0.attn.out_proj",
    "blocks.#.temporal_fc": "transformer_layers.layers.#.attentions.0.temporal_fc",
    "blocks.#.norm1": "transformer_layers.layers.#.attentions.1.norm",
    "blocks.#.attn.qkv": "transformer_layers.layers.#.attentions.1.attn.in_proj_",
    "blocks.#.attn.proj": "transformer_layers.layers.#.attentions.1.attn.out_proj",
    "blocks.#.norm2": "transformer_layers.layers.#.ffns.0.norm",
}

MMACTION2_NOTE = "MMAction2 normalises with DATA.MEAN and DATA.STD [0.5, 0.5, 0.5]"

# A joint or space-only MMAction2 network fits both of its tables, and the first is the right one.
FORMATS = (
    Format(
        "MMAction2 TimeSformer",
        r"transformer_layers\.layers\.\d+\.norms\.",
        (MMACTION2,),
        "backbone.",
        rf"data_preprocessor\.|{DROPPED_EVERYWHERE}",
        note=MMACTION2_NOTE,
    ),
    Format(
        "MMAction2 TimeSformer",
        r"transformer_layers\.layers\.\d+\.ffns\.0\.norm\.",
        (MMACTION2_DIVIDED,),
        "backbone.",
        rf"data_preprocessor\.|{DROPPED_EVERYWHERE}",
        note=MMACTION2_NOTE,
    ),
    Format(
        "Transformers TimeSformer",
        r"encoder\.layer\.\d+\.attention\.attention\.qkv\.",
        (TRANSFORMERS_TIMESFORMER,),
        "timesformer.",
    ),
    Format(
        "Transformers ViT",
        r"encoder\.layer\.\d+\.attention\.attention\.query\.|layers\.\d+\.attention\.q_proj\.",
        (TRANSFORMERS_VIT, TRANSFORMERS_VIT_IN_MEMORY),
        "vit.",
        # The decoder is that of a masked autoencoder.
        rf"pooler\.|embeddings\.mask_token$|decoder\.|{DROPPED_EVERYWHERE}",
        adapt_split_qkv,
    ),
    Format(
        "torchvision ViT",
        r"encoder_layer_\d+\.self_attention\.",
        (TORCHVISION_VIT, TORCHVISION_VIT_BEFORE_0_14),
    ),
    Format(
        "JAX ViT",
        r"encoderblock_\d+\.",
        (JAX_VIT, BIG_VISION_VIT),
        adapt=adapt_jax,
    ),
    Format("torchvision ResNet", r"^layer1\.0\.conv1\.weight$", adapt=adapt_resnet),
    Format("ResNet baseline", r"^backbone\.layer1\.0\.conv1\.weight$"),
    Format("TimeSformer", r"^time_embed$|^blocks\.\d+\.(temporal|local|width)_"),
    Format(
        "timm ViT",  # and DeiT, DINO, DINOv2, MAE; and a space-only TimeSformer, which is a ViT
        r"^blocks\.(\d+\.)?\d+\.attn\.qkv\.weight$",
        dropped=r"(dist_token|mask_token)$|head_dist\.|decoder_|head\.(mlp|last_layer)\.|"
        rf"(dino|ibot)_head\.|{DROPPED_EVERYWHERE}",
        adapt=adapt_torch_vit,
    ),
)
EXPORTED = ("Transformers TimeSformer", "MMAction2 TimeSformer")


def to_our_names(state: State, source: str, *, ours: bool = False) -> Translation:
    """A state dict of any program in `FORMATS`, under our names and in our layout.

    Args:
        state: names to tensors, taken out of the container of its file.
        source: what to call it in messages.
        ours: the file states the geometry of a TimeSformer, so what looks like an image ViT is a
            space-only one, and nothing about it is to be guessed.

    Raises:
        UserError: a format that is not known, or a network that is not a plain ViT or TimeSformer.
    """
    bare = without_wrappers(state, source)
    known = detect(bare, source)
    if ours and known.name == "timm ViT":
        return Translation(bare, "TimeSformer", [])
    adapted, changes = adapted_state(renamed(bare, known, source), known, source)
    dropped = [name for name in adapted if re.match(known.dropped, name)]
    kept = {name: tensor for name, tensor in adapted.items() if name not in dropped}
    return Translation(kept, known.name, dropped, changes)


def to_foreign_names(state: State, format_name: str) -> State:
    """A `VisionTransformer`'s state under the names of a format in `EXPORTED`.

    Raises:
        UserError: another format, or a network that the other program does not have.
    """
    if format_name not in EXPORTED:
        raise UserError(
            f"Weights cannot be written as '{format_name}': choose {' or '.join(EXPORTED)}."
        )
    candidates = [known for known in FORMATS if known.name == format_name]
    chosen = min(candidates, key=lambda known: len(without_counterpart(state, known)))
    if lost := without_counterpart(state, chosen):
        raise UserError(
            f"{format_name} has no counterpart of {summary(lost)}: it knows divided, joint and "
            "space-only attention with a head of one linear layer, so export such a network."
        )
    return {foreign_name(name, state, chosen): tensor for name, tensor in state.items()}


def adapted_state(state: State, known: Format, source: str) -> Adapted:
    """``known.adapt``; UserError where tensors have not the shapes that their names promise."""
    try:
        adapted, changes = known.adapt(state, source)
    except (IndexError, KeyError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{source} looks like {known.name}, but its tensors have other shapes than one "
            f"({type(error).__name__}: {str(error).splitlines()[0]}): choose another file."
        ) from error
    return adapted, changes + ([known.note] if known.note else [])


def without_wrappers(state: State, source: str) -> State:
    """`state` without what wrappers of a network put before or into its names."""
    names = {name: plain_name(name) for name in state}
    if "backbone.cls_token" in names.values():  # DINO, MMAction2; our baselines keep theirs
        names = {name: plain.removeprefix("backbone.") for name, plain in names.items()}
    bare = {plain: state[name] for name, plain in names.items()}
    if len(bare) < len(state):
        raise UserError(
            f"{source} holds two networks side by side ({summary(state)}), such as a model and its "
            "moving average: save the one you want to a file of its own."
        )
    return bare


def plain_name(name: str) -> str:
    """One name without wrappers, with dots for the slashes of Flax."""
    if "/" in name:
        dotted = name.removeprefix("params/").replace("/", ".")
        return re.sub(r"\.(kernel|scale)$", ".weight", dotted)
    # torch.compile of single blocks writes its name into the middle.
    return WRAPPERS.sub("", name).replace("._orig_mod.", ".")


def detect(state: State, source: str) -> Format:
    """The first format whose mark is among the names."""
    for known in FORMATS:
        if any(re.search(known.mark, name) for name in state):
            return known
    formats = ", ".join(dict.fromkeys(known.name for known in FORMATS))
    raise UserError(
        f"{source} holds weights of an unknown network ({summary(state)}). Known are: {formats}."
    )


def renamed(state: State, known: Format, source: str) -> State:
    """`state` under our names, what will be dropped under its own; UserError for other names."""
    if not known.tables:
        return state
    table = {theirs: ours for names in known.tables for ours, theirs in parameters(names)}
    plain = {name: name.removeprefix(known.prefix) for name in state}
    places = {name: look_up(short, table) for name, short in plain.items()}
    dropped = {name: short for name, short in plain.items() if re.match(known.dropped, short)}
    if strange := [name for name in state if not places[name] and name not in dropped]:
        raise UserError(
            f"{source} looks like {known.name}, but these belong to another network: "
            f"{summary(strange)}. Choose a file that holds a plain {known.name}."
        )
    return {places[name] or dropped[name]: tensor for name, tensor in state.items()}


def without_counterpart(state: State, known: Format) -> list[str]:
    """Names of ours that the other program does not have."""
    table = dict(parameters(known.tables[0]))
    return [name for name in state if not look_up(name, table)]


def foreign_name(name: str, state: State, known: Format) -> str:
    """Their name of a parameter of ours that has one."""
    # A Transformers model without a head is the inner model, whose names have no prefix.
    bare = known.name.startswith("Transformers") and "head.weight" not in state
    prefix = "" if bare or name.startswith("head.") else known.prefix
    return f"{prefix}{look_up(name, dict(parameters(known.tables[0])))}"


def parameters(modules: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The parameters of a table's modules: our name, their name."""
    for ours, theirs in modules.items():
        if ours in EMBEDDINGS:
            yield ours, theirs
            continue
        for leaf in ("weight", "bias"):
            # torch.nn.MultiheadAttention says in_proj_weight.
            yield f"{ours}.{leaf}", f"{theirs}{'' if theirs.endswith('_') else '.'}{leaf}"


def look_up(name: str, table: Mapping[str, str]) -> str | None:
    """The other name of a parameter, with the index of its block; None if `table` has none."""
    index = INDEX.search(name)
    found = table.get(INDEX.sub("#", name, count=1))
    return found.replace("#", index[0]) if found and index else found
