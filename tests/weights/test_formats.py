"""Foreign names: every format against a network of the program that it comes from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.models.tiny import clip, load_state, randomise, tiny_network
from timesformer.errors import UserError
from timesformer.models import VisionTransformer
from timesformer.weights.files import State
from timesformer.weights.formats import Translation, to_foreign_names, to_our_names

# Two implementations of the same sums in float32, values of about 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
SCHEMES = ["divided_space_time", "joint_space_time", "space_only"]
IMAGE_VIT = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}


def random_state(module: nn.Module) -> State:
    randomise(module)
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def assert_same(state: State, expected: State) -> None:
    """The same names, and bit for bit the same tensors."""
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor), name


def images() -> Tensor:
    return clip(frames=1)[:, :, 0]


def class_features(translation: Translation, **changes: Any) -> Tensor:
    """The class token of our network with the weights, on one frame."""
    network = tiny_network("space_only", num_frames=1, num_classes=0, **changes).eval()
    report = load_state(network, translation.state)
    assert report.new + report.resized == []
    with torch.no_grad():
        return network(images()[:, :, None])


# --- TimeSformer: released, ours ---


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "model.", "module.model.", "_orig_mod.model.", "ema.module."],
)
@pytest.mark.parametrize("scheme", SCHEMES[:2])
def test_our_names_lose_their_wrappers(prefix: str, scheme: str) -> None:
    state = random_state(tiny_network(scheme))
    wrapped = {prefix + name: tensor for name, tensor in state.items()}
    translation = to_our_names(wrapped, "f.pyth")
    assert_same(translation.state, state)
    assert (translation.format, translation.dropped) == ("TimeSformer", [])
    assert translation.changes == []


def test_averaged_weights_lose_their_counter() -> None:
    network = tiny_network()
    state = random_state(network)
    translation = to_our_names(torch.optim.swa_utils.AveragedModel(network).state_dict(), "f.pyth")
    assert_same(translation.state, state)
    assert translation.dropped == ["n_averaged"]


@pytest.mark.slow  # importing the compiler takes seconds
def test_compiled_blocks_lose_their_wrappers() -> None:
    network = tiny_network()
    state = random_state(network)
    for number, block in enumerate(network.blocks):
        network.blocks[number] = torch.compile(block)
    compiled = network.state_dict()
    assert "blocks.0._orig_mod.norm1.weight" in compiled
    assert_same(to_our_names(compiled, "f.pyth").state, state)


@pytest.mark.parametrize("part", ["local", "width"])
def test_other_schemes_are_timesformers(part: str) -> None:
    state = random_state(tiny_network("joint_space_time"))
    state[f"blocks.0.{part}_fc.weight"] = state.pop("time_embed")
    assert to_our_names(state, "f.pyth").format == "TimeSformer"


def test_two_networks_in_one_file_are_refused() -> None:
    state = random_state(tiny_network())
    both = state | {f"ema.{name}": tensor for name, tensor in state.items()}
    with pytest.raises(UserError, match=r"f\.pyth holds two networks side by side \(cls_token, "):
        to_our_names(both, "f.pyth")


def test_unknown_networks_are_named() -> None:
    state = {f"encoder.stage{i}.conv": torch.zeros(1) for i in range(4)}
    with pytest.raises(UserError) as caught:
        to_our_names(state, "f.pyth")
    assert "f.pyth holds weights of an unknown network (encoder.stage0.conv, " in str(caught.value)
    assert " and 1 more). Known are: MMAction2 TimeSformer, Transformers " in str(caught.value)


# --- Transformers TimeSformer ---


def transformers_timesformer(scheme: str, head: bool = True, **changes: Any) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {
        "image_size": 16,
        "patch_size": 8,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 96,
        "num_frames": 4,
        "num_labels": 5,
    }
    config = transformers.TimesformerConfig(**(sizes | changes), attention_type=scheme)
    name = "TimesformerForVideoClassification" if head else "TimesformerModel"
    return getattr(transformers, name)(config).eval()


GEOMETRIES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    (
        {"image_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "num_frames": 3},
        {"img_size": 24, "depth": 1, "num_heads": 4, "num_frames": 3},
    ),
    ({"image_size": 32, "num_frames": 8}, {"img_size": 32, "num_frames": 8}),
    (
        {"image_size": 96, "patch_size": 16, "num_frames": 16},
        {"img_size": 96, "patch_size": 16, "num_frames": 16},
    ),
    (
        {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "qkv_bias": False},
        {"embed_dim": 32, "mlp_ratio": 2.0, "num_heads": 2, "qkv_bias": False},
    ),
]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("theirs", "ours"), GEOMETRIES)
def test_transformers_timesformer_gives_the_same_logits(
    scheme: str, theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    oracle = transformers_timesformer(scheme, **theirs)
    translation = to_our_names(random_state(oracle), "hf")
    assert (translation.format, translation.dropped) == ("Transformers TimeSformer", [])
    network = tiny_network(scheme, **ours).eval()
    network.load_state_dict(translation.state)
    side = ours.get("img_size", 16)
    video = clip(frames=network.grid.frames, height=side, width=side)
    with torch.no_grad():
        expected = oracle(video.transpose(1, 2)).logits
        if scheme == "space_only":  # theirs does not average: it has logits for every frame
            video = video.transpose(1, 2).flatten(0, 1)[:, :, None]  # (B*T, C, 1, H, W)
        torch.testing.assert_close(network(video), expected, **CLOSE)


@pytest.mark.parametrize("scheme", SCHEMES[:2])
def test_our_weights_give_the_same_logits_there(scheme: str) -> None:
    network = tiny_network(scheme, img_size=32, num_frames=6).eval()
    randomise(network)
    oracle = transformers_timesformer(scheme, image_size=32, num_frames=6)
    oracle.load_state_dict(to_foreign_names(network.state_dict(), "Transformers TimeSformer"))
    video = clip(frames=6, height=32, width=32)
    with torch.no_grad():
        torch.testing.assert_close(oracle(video.transpose(1, 2)).logits, network(video), **CLOSE)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("head", [True, False])
def test_transformers_timesformer_and_back(scheme: str, head: bool) -> None:
    oracle = transformers_timesformer(scheme, head)
    state = random_state(oracle)
    back = to_foreign_names(to_our_names(state, "hf").state, "Transformers TimeSformer")
    assert_same(back, state)
    transformers_timesformer(scheme, head).load_state_dict(back, strict=True)


def test_transformers_timesformer_as_written_to_disk(tmp_path: Path) -> None:
    oracle = transformers_timesformer("divided_space_time")
    expected = to_our_names(random_state(oracle), "hf").state
    oracle.save_pretrained(tmp_path)
    assert_same(to_our_names(load_file(tmp_path / "model.safetensors"), "hf").state, expected)


# --- MMAction2 TimeSformer: the names and shapes that its modules register (mmcv's
# BaseTransformerLayer, FFN and torch.nn.MultiheadAttention), for D = 24 and 2 x 2 patches ---

MMACTION2_AROUND = {
    "backbone.cls_token": (1, 1, 24),
    "backbone.pos_embed": (1, 5, 24),
    "backbone.patch_embed.projection.weight": (24, 3, 8, 8),
    "backbone.patch_embed.projection.bias": (24,),
    "backbone.norm.weight": (24,),
    "backbone.norm.bias": (24,),
    "cls_head.fc_cls.weight": (5, 24),
    "cls_head.fc_cls.bias": (5,),
}
MMACTION2_TIME = {"backbone.time_embed": (1, 4, 24)}
MMACTION2_FFN = {
    "ffns.0.layers.0.0.weight": (96, 24),
    "ffns.0.layers.0.0.bias": (96,),
    "ffns.0.layers.1.weight": (24, 96),
    "ffns.0.layers.1.bias": (24,),
}
MMACTION2_LAYER = MMACTION2_FFN | {
    "attentions.0.attn.in_proj_weight": (72, 24),
    "attentions.0.attn.in_proj_bias": (72,),
    "attentions.0.attn.out_proj.weight": (24, 24),
    "attentions.0.attn.out_proj.bias": (24,),
    "norms.0.weight": (24,),
    "norms.0.bias": (24,),
    "norms.1.weight": (24,),
    "norms.1.bias": (24,),
}
MMACTION2_DIVIDED_LAYER = MMACTION2_FFN | {
    "attentions.0.norm.weight": (24,),
    "attentions.0.norm.bias": (24,),
    "attentions.0.attn.in_proj_weight": (72, 24),
    "attentions.0.attn.in_proj_bias": (72,),
    "attentions.0.attn.out_proj.weight": (24, 24),
    "attentions.0.attn.out_proj.bias": (24,),
    "attentions.0.temporal_fc.weight": (24, 24),
    "attentions.0.temporal_fc.bias": (24,),
    "attentions.1.norm.weight": (24,),
    "attentions.1.norm.bias": (24,),
    "attentions.1.attn.in_proj_weight": (72, 24),
    "attentions.1.attn.in_proj_bias": (72,),
    "attentions.1.attn.out_proj.weight": (24, 24),
    "attentions.1.attn.out_proj.bias": (24,),
    "ffns.0.norm.weight": (24,),
    "ffns.0.norm.bias": (24,),
}


def mmaction2_shapes(scheme: str) -> dict[str, tuple[int, ...]]:
    layer = MMACTION2_DIVIDED_LAYER if scheme == "divided_space_time" else MMACTION2_LAYER
    around = MMACTION2_AROUND | ({} if scheme == "space_only" else MMACTION2_TIME)
    prefix = "backbone.transformer_layers.layers"
    return around | {f"{prefix}.{i}.{name}": s for i in range(2) for name, s in layer.items()}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_mmaction2_and_back(scheme: str) -> None:
    network = tiny_network(scheme)
    state = random_state(network)
    theirs = to_foreign_names(state, "MMAction2 TimeSformer")
    shapes = {name: tuple(tensor.shape) for name, tensor in theirs.items()}
    assert shapes == mmaction2_shapes(scheme)
    translation = to_our_names(theirs, "mm")
    assert_same(translation.state, state)
    assert translation.format == "MMAction2 TimeSformer"


def test_mmaction2_parts_go_to_the_right_places() -> None:
    theirs = to_foreign_names(random_state(tiny_network()), "MMAction2 TimeSformer")
    layer = "backbone.transformer_layers.layers.1"
    ours = to_our_names(theirs, "mm").state
    for their_name, our_name in {
        "attentions.0.attn.in_proj_weight": "temporal_attn.qkv.weight",
        "attentions.0.norm.bias": "temporal_norm1.bias",
        "attentions.0.temporal_fc.weight": "temporal_fc.weight",
        "attentions.1.attn.in_proj_bias": "attn.qkv.bias",
        "attentions.1.norm.weight": "norm1.weight",
        "ffns.0.norm.weight": "norm2.weight",
        "ffns.0.layers.1.weight": "mlp.fc2.weight",
    }.items():
        assert torch.equal(ours[f"blocks.1.{our_name}"], theirs[f"{layer}.{their_name}"])


def test_mmaction2_attention_means_the_same() -> None:
    network = tiny_network("space_only").eval()
    theirs = to_foreign_names(random_state(network), "MMAction2 TimeSformer")
    oracle = nn.MultiheadAttention(24, 3, batch_first=True).eval()
    prefix = "backbone.transformer_layers.layers.0.attentions.0.attn."
    own = {name.removeprefix(prefix): t for name, t in theirs.items() if name.startswith(prefix)}
    oracle.load_state_dict(own, strict=True)
    tokens = clip(width=24).flatten(1, 3)  # (B, S, D)
    with torch.no_grad():
        expected = oracle(tokens, tokens, tokens, need_weights=False)[0]
        torch.testing.assert_close(network.blocks[0].attn(tokens), expected, **CLOSE)


def test_mmaction2_leaves_its_preprocessor_behind() -> None:
    theirs = to_foreign_names(random_state(tiny_network()), "MMAction2 TimeSformer")
    theirs["data_preprocessor.mean"] = torch.full((3, 1, 1, 1), 127.5)
    assert to_our_names(theirs, "mm").dropped == ["data_preprocessor.mean"]


# --- export ---


@pytest.mark.parametrize("format_name", ["Transformers TimeSformer", "MMAction2 TimeSformer"])
@pytest.mark.parametrize("extra", ["blocks.0.width_attn.qkv.weight", "head.fc1.weight"])
def test_what_others_do_not_have_is_not_exported(format_name: str, extra: str) -> None:
    state = random_state(tiny_network()) | {extra: torch.zeros(1)}
    with pytest.raises(UserError, match=f"{format_name} has no counterpart of {extra}: it knows"):
        to_foreign_names(state, format_name)


def test_unknown_export_format() -> None:
    with pytest.raises(UserError, match="cannot be written as 'timm ViT': choose Transformers"):
        to_foreign_names({}, "timm ViT")


# --- timm, DeiT, DINO, MAE ---


def timm_vit(**changes: Any) -> Any:
    timm = pytest.importorskip("timm")
    return timm.models.VisionTransformer(**(IMAGE_VIT | {"num_classes": 5} | changes)).eval()


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({}, None),
        ({"qkv_bias": False}, None),
        ({"num_classes": 0}, None),
        ({"init_values": 0.1}, "4 LayerScale vectors folded into the layers"),
        ({"no_embed_class": True}, "pos_embed: a zero position added for the class token"),
    ],
)
def test_timm_vit_gives_the_same_features(options: dict[str, Any], change: str | None) -> None:
    oracle = timm_vit(**options)
    translation = to_our_names(random_state(oracle), "timm")
    assert (translation.format, translation.dropped) == ("timm ViT", [])
    assert translation.changes == ([change] if change else [])
    features = class_features(translation, qkv_bias=options.get("qkv_bias", True))
    with torch.no_grad():
        expected = oracle.forward_features(images())[:, 0]
    torch.testing.assert_close(features, expected, **CLOSE)


def test_layer_scale_of_deit_3_is_the_same_under_its_names() -> None:
    state = random_state(timm_vit(init_values=0.1))
    renamed = {re.sub(r"\.ls([12])\.gamma", r".gamma_\1", name): t for name, t in state.items()}
    assert "blocks.1.gamma_2" in renamed
    assert_same(to_our_names(renamed, "deit").state, to_our_names(state, "timm").state)


def test_half_precision_layer_scale_rounds_once() -> None:
    state = {name: t.half() for name, t in random_state(timm_vit(init_values=0.1)).items()}
    folded = to_our_names(state, "timm").state["blocks.0.attn.proj.bias"]
    product = state["blocks.0.attn.proj.bias"].double() * state["blocks.0.ls1.gamma"].double()
    assert torch.equal(folded.double(), product)  # 11 bits times 11 bits fit into the 24 of float32


def test_norm_after_pooling_becomes_the_norm() -> None:
    state = random_state(timm_vit(global_pool="avg"))
    assert "norm.weight" not in state
    translation = to_our_names(state, "timm")
    assert torch.equal(translation.state["norm.bias"], state["fc_norm.bias"])
    assert translation.state.keys() == tiny_network("space_only").state_dict().keys()
    assert [line.split()[0] for line in translation.changes] == ["norm:"]


def test_distilled_deit_keeps_its_class_token() -> None:
    pytest.importorskip("timm")
    from timm.models.deit import VisionTransformerDistilled

    oracle = VisionTransformerDistilled(**IMAGE_VIT, num_classes=5).eval()
    state = random_state(oracle)
    translation = to_our_names(state, "deit")
    assert translation.dropped == ["dist_token", "head_dist.weight", "head_dist.bias"]
    kept = torch.cat([state["pos_embed"][:, :1], state["pos_embed"][:, 2:]], dim=1)
    # The class token cannot see the distillation token any more: as a plain ViT of the rest.
    plain = timm_vit()
    rest = {name: t for name, t in state.items() if name not in translation.dropped}
    plain.load_state_dict(rest | {"pos_embed": kept})
    with torch.no_grad():
        expected = plain.forward_features(images())[:, 0]
    torch.testing.assert_close(class_features(translation), expected, **CLOSE)


def test_dino_and_masked_autoencoders_lose_their_heads_and_decoders() -> None:
    state = random_state(timm_vit(num_classes=0))
    extras = {
        "head.mlp.0.weight": 24,
        "head.last_layer.weight_g": 24,
        "dino_head.mlp.0.weight": 24,
        "ibot_head.last_layer.parametrizations.weight.original0": 24,
        "mask_token": 24,
        "decoder_blocks.0.attn.qkv.weight": 12,
        "decoder_pos_embed": 12,
    }
    whole = {f"backbone.{name}": t for name, t in state.items()}
    whole |= {name: torch.zeros(size) for name, size in extras.items()}
    translation = to_our_names({f"module.{name}": t for name, t in whole.items()}, "dino")
    assert_same(translation.state, state)
    assert translation.dropped == list(extras)


def test_chunked_blocks_of_dinov2() -> None:
    state = random_state(timm_vit())
    chunked = {re.sub(r"^blocks\.(\d)", r"blocks.7.\1", name): t for name, t in state.items()}
    assert_same(to_our_names(chunked, "dinov2").state, state)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"reg_tokens": 2}, r"has register tokens \('reg_token'\)"),
        ({"qk_norm": True}, r"has norms of queries and keys \('blocks.0.attn.q_norm.weight'\)"),
        ({"pre_norm": True}, r"has a norm before the first block \('norm_pre.weight'\)"),
        ({"global_pool": "map"}, r"has attention pooling \('attn_pool.latent'\)"),
        ({"class_token": False, "global_pool": "avg"}, r"has no class token \('cls_token'\)"),
        ({"mlp_layer": "GluMlp"}, r"has gated \(SwiGLU\) MLPs \('blocks.0.mlp.fc1.weight'\)"),
        ({"mlp_layer": "SwiGLU"}, r"has gated \(SwiGLU\) MLPs \('blocks.0.mlp.fc1_g.weight'\)"),
    ],
)
def test_more_than_a_plain_vit_is_refused(options: dict[str, Any], sentence: str) -> None:
    timm = pytest.importorskip("timm")
    layer = options.get("mlp_layer")
    options = options | ({"mlp_layer": getattr(timm.layers, layer)} if layer else {})
    state = random_state(timm_vit(**options))
    with pytest.raises(UserError, match=rf"The image ViT in f\.pth {sentence}, and a TimeSformer"):
        to_our_names(state, "f.pth")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("register_tokens", "register tokens"),
        ("blocks.0.mlp.w12.weight", "gated"),
        ("blocks.0.attn.q_bias", "biases for queries and values alone"),
        ("blocks.0.attn.relative_position_bias_table", "relative positions"),
        ("fc_norm.weight", "two final norms"),
    ],
)
def test_names_of_other_vits_are_refused(name: str, sentence: str) -> None:
    state = random_state(tiny_network("space_only")) | {name: torch.zeros(24)}
    with pytest.raises(UserError, match=rf"The image ViT in f\.pth has {sentence}"):
        to_our_names(state, "f.pth")


def test_an_extra_layer_before_the_head_stays_with_the_head() -> None:
    state = random_state(tiny_network("space_only"))
    extra = {"pre_logits.fc.weight": torch.zeros(24, 24), "pre_logits.fc.bias": torch.zeros(24)}
    translation = to_our_names(state | extra, "timm")
    report = load_state(tiny_network("space_only"), translation.state)
    assert report.new == ["head.weight", "head.bias"]


# --- Transformers ViT ---


def transformers_vit(head: bool) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        image_size=16,
        patch_size=8,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=96,
        num_labels=5,
        layer_norm_eps=1e-6,
    )
    name = "ViTForImageClassification" if head else "ViTModel"
    return getattr(transformers, name)(config).eval()


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("on_disk", [True, False])
def test_transformers_vit_gives_the_same_features(
    head: bool, on_disk: bool, tmp_path: Path
) -> None:
    oracle = transformers_vit(head)
    state = random_state(oracle)
    if on_disk:  # under the names of version 4
        oracle.save_pretrained(tmp_path)
        state = load_file(tmp_path / "model.safetensors")
        assert any(".attention.attention.query." in name for name in state)
    translation = to_our_names(state, "hf")
    assert translation.format == "Transformers ViT"
    assert sorted(translation.dropped) == (
        [] if head else ["pooler.dense.bias", "pooler.dense.weight"]
    )
    inner = oracle.vit if head else oracle
    with torch.no_grad():
        expected = inner(images()).last_hidden_state[:, 0]
    torch.testing.assert_close(class_features(translation), expected, **CLOSE)
    if head:
        assert torch.equal(translation.state["head.weight"], oracle.classifier.weight)


def test_names_that_no_table_lists_are_refused() -> None:
    state = random_state(transformers_vit(head=True)) | {"vit.layers.0.scale": torch.zeros(1)}
    with pytest.raises(
        UserError, match=r"looks like Transformers ViT, .*: vit\.layers\.0\.scale\."
    ):
        to_our_names(state, "hf")


# --- torchvision ViT and ResNet ---


@pytest.mark.parametrize("older_names", [True, False])
def test_torchvision_vit_gives_the_same_features(older_names: bool) -> None:
    models = pytest.importorskip("torchvision.models")
    oracle = models.VisionTransformer(16, 8, 2, 3, 24, 96, num_classes=5).eval()
    state = random_state(oracle)
    if older_names:
        for older, newer in (("linear_1", "0"), ("linear_2", "3")):
            state = {name.replace(f"mlp.{newer}.", f"mlp.{older}."): t for name, t in state.items()}
    translation = to_our_names(state, "tv")
    assert (translation.format, translation.dropped) == ("torchvision ViT", [])
    assert torch.equal(translation.state["head.weight"], oracle.heads.head.weight)
    oracle.heads = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(class_features(translation), oracle(images()), **CLOSE)


def test_torchvision_resnet_becomes_a_backbone_and_a_head() -> None:
    models = pytest.importorskip("torchvision.models")
    state = random_state(models.resnet18(num_classes=5))
    translation = to_our_names({f"module.{name}": t for name, t in state.items()}, "tv")
    assert translation.format == "torchvision ResNet"
    expected = {f"backbone.{name}": t for name, t in state.items() if not name.startswith("fc.")}
    expected |= {"head.weight": state["fc.weight"], "head.bias": state["fc.bias"]}
    assert_same(translation.state, expected)
    again = to_our_names({f"model.{name}": t for name, t in expected.items()}, "ours")
    assert_same(again.state, expected)
    assert again.format == "ResNet baseline"


# --- JAX ViT ---


def flax_parameters(network: VisionTransformer, big_vision: bool) -> dict[str, np.ndarray]:
    """The weights of `network` as Flax lays them out: kernels (in, out), heads apart."""
    state = {name: tensor.numpy() for name, tensor in random_state(network).items()}
    attention, second, mlp = (0, 1, 0) if big_vision else (1, 2, 3)
    flax = {
        "cls": state["cls_token"],
        "embedding/kernel": state["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": state["head.weight"].T,
        "head/bias": state["head.bias"],
    }
    where = "pos_embedding" if big_vision else "Transformer/posembed_input/pos_embedding"
    flax[where] = state["pos_embed"]
    for i in range(2):
        ours, theirs = f"blocks.{i}", f"Transformer/encoderblock_{i}"
        heads = f"{theirs}/MultiHeadDotProductAttention_{attention}"
        kernels = state[f"{ours}.attn.qkv.weight"].reshape(3, 3, 8, 24)  # (qkv, heads, d, D)
        biases = state[f"{ours}.attn.qkv.bias"].reshape(3, 3, 8)
        for part, kernel, bias in zip(("query", "key", "value"), kernels, biases, strict=True):
            flax[f"{heads}/{part}/kernel"] = kernel.transpose(2, 0, 1)  # (D, heads, d)
            flax[f"{heads}/{part}/bias"] = bias
        flax[f"{heads}/out/kernel"] = state[f"{ours}.attn.proj.weight"].T.reshape(3, 8, 24)
        flax[f"{heads}/out/bias"] = state[f"{ours}.attn.proj.bias"]
        for number, norm in ((0, "norm1"), (second, "norm2")):
            flax[f"{theirs}/LayerNorm_{number}/scale"] = state[f"{ours}.{norm}.weight"]
            flax[f"{theirs}/LayerNorm_{number}/bias"] = state[f"{ours}.{norm}.bias"]
        for number, layer in ((0, "fc1"), (1, "fc2")):
            dense = f"{theirs}/MlpBlock_{mlp}/Dense_{number}"
            flax[f"{dense}/kernel"] = state[f"{ours}.mlp.{layer}.weight"].T
            flax[f"{dense}/bias"] = state[f"{ours}.mlp.{layer}.bias"]
    return {f"params/{name}": value for name, value in flax.items()} if big_vision else flax


@pytest.mark.parametrize("big_vision", [False, True])
def test_jax_vit_gives_the_features_that_timm_gives(big_vision: bool, tmp_path: Path) -> None:
    flax = flax_parameters(tiny_network("space_only"), big_vision)
    np.savez(tmp_path / "vit.npz", **flax)
    oracle = timm_vit()
    oracle.load_pretrained(str(tmp_path / "vit.npz"))
    with np.load(tmp_path / "vit.npz") as arrays:
        state = {name: torch.from_numpy(arrays[name]) for name in arrays}
    translation = to_our_names(state, "vit.npz")
    assert (translation.format, translation.dropped) == ("JAX ViT", [])
    assert all(tensor.is_contiguous() for tensor in translation.state.values())
    torch.testing.assert_close(translation.state["head.weight"], oracle.head.weight, rtol=0, atol=0)
    with torch.no_grad():
        expected = oracle.forward_features(images())[:, 0]
    torch.testing.assert_close(class_features(translation), expected, **CLOSE)


def test_jax_vit_without_a_class_position() -> None:
    flax = flax_parameters(tiny_network("space_only"), big_vision=True)
    state = {name: torch.from_numpy(value.copy()) for name, value in flax.items()}
    state["params/pos_embedding"] = state["params/pos_embedding"][:, 1:]
    positions = to_our_names(state, "vit.npz").state["pos_embed"]
    assert torch.equal(positions[:, 1:], state["params/pos_embedding"])
    assert not positions[:, 0].any()
