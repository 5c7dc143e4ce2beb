"""Image ViTs: their tables (see `formats`), and what else sets them apart from ours.

Dimensions: D width, P patch side, C channels, N patches, L positions, d = D / heads.

Each ``adapt_*`` takes a state whose names are ours already and returns it in our shapes, with one
line for each thing that is more than a change of names. The features of the class token stay those
of the original network, up to rounding, but where a docstring says what is left out.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor

from timesformer.errors import UserError
from timesformer.weights import State

Adapted = tuple[State, list[str]]

TRANSFORMERS_VIT = {  # as written to disk; q, k, v are joined afterwards
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "blocks.#.norm1": "encoder.layer.#.layernorm_before",
    "blocks.#.attn.q": "encoder.layer.#.attention.attention.query",
    "blocks.#.attn.k": "encoder.layer.#.attention.attention.key",
    "blocks.#.attn.v": "encoder.layer.#.attention.attention.value",
    "blocks.#.attn.proj": "encoder.layer.#.attention.output.dense",
    "blocks.#.norm2": "encoder.layer.#.layernorm_after",
    "blocks.#.mlp.fc1": "encoder.layer.#.intermediate.dense",
    "blocks.#.mlp.fc2": "encoder.layer.#.output.dense",
    "norm": "layernorm",
    "head": "classifier",
}

TRANSFORMERS_VIT_IN_MEMORY = {  # what state_dict() says from version 5 on
    "blocks.#.norm1": "layers.#.layernorm_before",
    "blocks.#.attn.q": "layers.#.attention.q_proj",
    "blocks.#.attn.k": "layers.#.attention.k_proj",
    "blocks.#.attn.v": "layers.#.attention.v_proj",
    "blocks.#.attn.proj": "layers.#.attention.o_proj",
    "blocks.#.norm2": "layers.#.layernorm_after",
    "blocks.#.mlp.fc1": "layers.#.mlp.fc1",
    "blocks.#.mlp.fc2": "layers.#.mlp.fc2",
}

TORCHVISION_VIT = {
    "cls_token": "class_token",
    "pos_embed": "encoder.pos_embedding",
    "patch_embed.proj": "conv_proj",
    "blocks.#.norm1": "encoder.layers.encoder_layer_#.ln_1",
    "blocks.#.attn.qkv": "encoder.layers.encoder_layer_#.self_attention.in_proj_",
    "blocks.#.attn.proj": "encoder.layers.encoder_layer_#.self_attention.out_proj",
    "blocks.#.norm2": "encoder.layers.encoder_layer_#.ln_2",
    "blocks.#.mlp.fc1": "encoder.layers.encoder_layer_#.mlp.0",
    "blocks.#.mlp.fc2": "encoder.layers.encoder_layer_#.mlp.3",
    "norm": "encoder.ln",
    "pre_logits.fc": "heads.pre_logits",
    "head": "heads.head",
}

TORCHVISION_VIT_BEFORE_0_14 = {
    "blocks.#.mlp.fc1": "encoder.layers.encoder_layer_#.mlp.linear_1",
    "blocks.#.mlp.fc2": "encoder.layers.encoder_layer_#.mlp.linear_2",
}

JAX_VIT = {  # google-research/vision_transformer, its slashes as dots
    "cls_token": "cls",
    "pos_embed": "Transformer.posembed_input.pos_embedding",
    "patch_embed.proj": "embedding",
    "blocks.#.norm1": "Transformer.encoderblock_#.LayerNorm_0",
    "blocks.#.attn.q": "Transformer.encoderblock_#.MultiHeadDotProductAttention_1.query",
    "blocks.#.attn.k": "Transformer.encoderblock_#.MultiHeadDotProductAttention_1.key",
    "blocks.#.attn.v": "Transformer.encoderblock_#.MultiHeadDotProductAttention_1.value",
    "blocks.#.attn.proj": "Transformer.encoderblock_#.MultiHeadDotProductAttention_1.out",
    "blocks.#.norm2": "Transformer.encoderblock_#.LayerNorm_2",
    "blocks.#.mlp.fc1": "Transformer.encoderblock_#.MlpBlock_3.Dense_0",
    "blocks.#.mlp.fc2": "Transformer.encoderblock_#.MlpBlock_3.Dense_1",
    "norm": "Transformer.encoder_norm",
    "pre_logits.fc": "pre_logits",
    "head": "head",
}

BIG_VISION_VIT = {  # where big_vision counts its modules otherwise
    "pos_embed": "pos_embedding",
    "blocks.#.attn.q": "Transformer.encoderblock_#.MultiHeadDotProductAttention_0.query",
    "blocks.#.attn.k": "Transformer.encoderblock_#.MultiHeadDotProductAttention_0.key",
    "blocks.#.attn.v": "Transformer.encoderblock_#.MultiHeadDotProductAttention_0.value",
    "blocks.#.attn.proj": "Transformer.encoderblock_#.MultiHeadDotProductAttention_0.out",
    "blocks.#.norm2": "Transformer.encoderblock_#.LayerNorm_1",
    "blocks.#.mlp.fc1": "Transformer.encoderblock_#.MlpBlock_0.Dense_0",
    "blocks.#.mlp.fc2": "Transformer.encoderblock_#.MlpBlock_0.Dense_1",
}

# A network with any of these computes something that no setting of ours does.
REFUSED = {
    r"^reg(ister)?_tokens?$": "register tokens",
    r"^norm_pre\.": "a norm before the first block",
    r"\.(q_norm|k_norm)\.": "norms of queries and keys",
    r"\.mlp\.(w12|w1|w2|fc1_g)\.": "gated (SwiGLU) MLPs",
    r"\.attn\.(q_bias|v_bias)$": "biases for queries and values alone",
    r"relative_position|rel_pos": "relative positions",
    r"^attn_pool\.": "attention pooling",
}
LAYER_SCALE = re.compile(r"(blocks\.\d+)\.(?:ls|gamma_)([12])(?:\.gamma)?")  # timm; DeiT III
SCALED = {"1": "attn.proj", "2": "mlp.fc2"}  # LayerScale's first and second vector, and their layer
CHUNK = re.compile(r"^blocks\.\d+\.(\d+)\.")  # DINOv2 in training: the second index is the block's


def adapt_torch_vit(state: State, source: str) -> Adapted:
    """ViTs with the names of timm: timm, DeiT, DINO, DINOv2, MAE.

    Of a distilled DeiT the class token is kept; the distillation token, its position and its head
    go, so its features are those of the class token in a sequence that is one token shorter.

    Raises:
        UserError: the network has a part that a TimeSformer has no place for.
    """
    state = {CHUNK.sub(r"blocks.\1.", name): tensor for name, tensor in state.items()}
    refuse_strangers(state, source)
    state, scales = without_layer_scale(state)
    state, norms = with_final_norm(state, source)
    state, positions = with_class_position(state)
    if not positions and "dist_token" in state:
        state["pos_embed"] = torch.cat([state["pos_embed"][:, :1], state["pos_embed"][:, 2:]], 1)
        positions = ["pos_embed: the position of the distillation token taken out"]
    return state, scales + norms + positions


def adapt_split_qkv(state: State, source: str) -> Adapted:
    """ViTs with three layers for queries, keys and values."""
    return joined_qkv(state), []


def adapt_jax(state: State, source: str) -> Adapted:
    """The layouts of Flax: kernels end in the output dimension, heads have one of their own.

    Flax's GELU is the tanh approximation and ours is exact; as in every PyTorch port of these
    weights, the difference (below 5e-4 at any input) is left.
    """
    state = {name: torch_layout(name, tensor) for name, tensor in state.items()}
    refuse_strangers(state, source)
    return with_class_position(joined_qkv(state))


def refuse_strangers(state: State, source: str) -> None:
    """UserError if the network is more than a ViT with a class token."""
    for pattern, part in REFUSED.items():
        if found := next((name for name in state if re.search(pattern, name)), None):
            raise misfit(source, f"has {part} ('{found}')")
    if "cls_token" not in state:
        raise misfit(source, "has no class token ('cls_token')")
    if gated := [name for name in state if is_gated(name, state)]:
        raise misfit(source, f"has gated (SwiGLU) MLPs ('{gated[0]}')")


def is_gated(name: str, state: State) -> bool:
    """Whether a first MLP layer is wider than what the second one takes: timm's packed SwiGLU."""
    second = state.get(name.replace(".fc1.", ".fc2."))
    if second is None or not name.endswith(".mlp.fc1.weight"):
        return False
    return state[name].shape[0] != second.shape[1]


def misfit(source: str, finding: str) -> UserError:
    """The sentence for an image ViT that no TimeSformer can continue."""
    return UserError(
        f"The image ViT in {source} {finding}, and a TimeSformer has no place for such a network: "
        "choose a plain ViT with a class token, such as ViT-B/16, DeiT, DINO or DINOv2 without "
        "registers."
    )


def without_layer_scale(state: State) -> Adapted:
    """LayerScale multiplies what a layer puts out, so its vector goes into that layer's rows."""
    scales = {name: match for name in state if (match := LAYER_SCALE.fullmatch(name))}
    folded = {name: tensor for name, tensor in state.items() if name not in scales}
    for name, match in scales.items():
        for leaf in ("weight", "bias"):
            layer = f"{match[1]}.{SCALED[match[2]]}.{leaf}"
            if layer in folded:
                folded[layer] = scaled_rows(folded[layer], state[name])
    return folded, [f"{len(scales)} LayerScale vectors folded into the layers"] if scales else []


def scaled_rows(tensor: Tensor, scale: Tensor) -> Tensor:
    """Row i of (D, ...) times ``scale[i]``; half precision becomes float32, to round only once."""
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    return tensor.to(dtype) * scale.to(dtype).reshape(-1, *[1] * (tensor.ndim - 1))


def with_final_norm(state: State, source: str) -> Adapted:
    """The norm that timm calls ``fc_norm`` where it follows the pooling, under our name."""
    if "fc_norm.weight" not in state:
        return state, []
    if "norm.weight" in state:
        raise misfit(source, "has two final norms ('norm' and 'fc_norm')")
    named = {re.sub(r"^fc_norm\.", "norm.", name): tensor for name, tensor in state.items()}
    return named, ["norm: from fc_norm, which saw the mean of the patches and not the class token"]


def with_class_position(state: State) -> Adapted:
    """A zero position for the class token, where only the patches have positions.

    The file does not say which it is: a square number of positions is taken for patches alone.
    1 + N is a square only for oblong grids such as 2 x 4, which image networks are not trained on.
    """
    pos_embed = state.get("pos_embed")
    if pos_embed is None or math.isqrt(pos_embed.shape[1]) ** 2 != pos_embed.shape[1]:
        return state, []
    padded = torch.cat([torch.zeros_like(pos_embed[:, :1]), pos_embed], dim=1)  # (1, 1 + N, D)
    return state | {"pos_embed": padded}, ["pos_embed: a zero position added for the class token"]


def joined_qkv(state: State) -> State:
    """``attn.q``, ``attn.k`` and ``attn.v`` as the one layer ``attn.qkv``, in this order."""
    joined = {name: t for name, t in state.items() if not re.search(r"\.attn\.[qkv]\.", name)}
    for name in state:
        if ".attn.q." in name:
            parts = [state.get(name.replace(".attn.q.", f".attn.{part}.")) for part in "qkv"]
            present = [part for part in parts if part is not None]
            joined[name.replace(".attn.q.", ".attn.qkv.")] = torch.cat(present)
    return joined


def torch_layout(name: str, tensor: Tensor) -> Tensor:
    """A Flax parameter, known by its name here, as PyTorch lays it out."""
    if name.endswith(".bias"):
        return tensor.flatten()  # (heads, d) to (D,)
    if not name.endswith(".weight") or tensor.ndim == 1:
        return tensor  # embeddings and norms
    if tensor.ndim == 4:
        return tensor.permute(3, 2, 0, 1).contiguous()  # (P, P, C, D) to (D, C, P, P)
    if tensor.ndim == 3:
        # Out of attention (heads, d, D), into it (D, heads, d).
        merged = tensor.flatten(0, 1) if ".attn.proj." in name else tensor.flatten(1)
        return merged.T.contiguous()
    return tensor.T.contiguous()
