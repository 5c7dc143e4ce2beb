"""Weights files: what loads, what is made to fit, what is refused and with which sentence."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.models.tiny import GEOMETRY, clip, load_state, randomise, tiny_network
from tests.shared_data import DATA, needs_shared_data
from timesformer.errors import UserError
from timesformer.models import MODEL_REGISTRY, TimeSformer, VisionTransformer
from timesformer.models.build import load_pretrained
from timesformer.models.pos_embed import SpatialMode, resize_spatial, resize_temporal
from timesformer.models.pretrained import load_weights
from timesformer.weights.load import Weights, read_weights


class Code:
    """Pickles as a call that makes a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def trained() -> VisionTransformer:
    network = tiny_network().eval()
    randomise(network)
    return network


def image_state(network: VisionTransformer) -> dict[str, Tensor]:
    """What an image ViT of the same geometry would hold."""
    state = network.state_dict()
    return {k: v for k, v in state.items() if "temporal_" not in k and k != "time_embed"}


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("container", "prefix"),
    [
        ("model_state", "model."),  # released TimeSformer, PySlowFast
        ("model_state", "module.model."),  # saved from inside DDP
        ("state_dict", "module."),
        ("model", ""),  # DeiT
        (None, ""),
    ],
)
def test_every_container_round_trips(
    trained: VisionTransformer, tmp_path: Path, container: str | None, prefix: str
) -> None:
    state = prefixed(trained.state_dict(), prefix)
    content = {"epoch": 4, container: state, "optimizer_state": {}, "cfg": "NUM_GPUS: 8\n"}
    path = tmp_path / "checkpoint_epoch_00005.pyth"
    torch.save(content if container else state, path)
    model = TimeSformer(**GEOMETRY, pretrained_model=str(path)).eval()
    assert torch.equal(model(clip()), trained(clip()))


def test_safetensors_round_trip(trained: VisionTransformer, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(prefixed(trained.state_dict(), "model."), path)
    network = tiny_network().eval()
    report = load_pretrained(network, path)
    assert torch.equal(network(clip()), trained(clip()))
    assert sorted(report.loaded) == sorted(trained.state_dict())
    assert report.inflated + report.resized + report.new + report.unused == []


def test_half_precision_weights_become_float32(trained: VisionTransformer) -> None:
    network = tiny_network()
    load_state(network, {name: tensor.half() for name, tensor in trained.state_dict().items()})
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    torch.testing.assert_close(network.head.weight, trained.head.weight, rtol=1e-3, atol=1e-4)


def test_image_vit_is_inflated(trained: VisionTransformer) -> None:
    network = tiny_network(num_classes=9)
    report = load_state(network, image_state(trained))
    state, origin = network.state_dict(), trained.state_dict()
    for name in report.inflated:
        assert torch.equal(state[name], origin[name.replace("temporal_", "")])
    assert len(report.inflated) == 2 * 6
    assert not state["time_embed"].any()
    assert sorted(report.new) == [
        "blocks.0.temporal_fc.bias",
        "blocks.0.temporal_fc.weight",
        "blocks.1.temporal_fc.bias",
        "blocks.1.temporal_fc.weight",
        "head.bias",
        "head.weight",
        "time_embed",
    ]


@pytest.mark.parametrize(
    ("attention_type", "added"),
    [("axial", ("temporal", "width")), ("sparse_local_global", ("local",))],
)
def test_image_vit_is_inflated_for_the_other_schemes(
    trained: VisionTransformer, attention_type: str, added: tuple[str, ...]
) -> None:
    network = tiny_network(attention_type)
    report = load_state(network, image_state(trained))
    assert len(report.inflated) == 2 * 6 * len(added)
    for block, origin in zip(network.blocks, trained.blocks, strict=True):
        for name in added:
            copy = getattr(block, f"{name}_attn").state_dict()
            for leaf, tensor in origin.attn.state_dict().items():
                assert torch.equal(copy[leaf], tensor)
            assert torch.equal(getattr(block, f"{name}_norm1").weight, origin.norm1.weight)
            assert not getattr(block, f"{name}_fc").weight.any()


@pytest.mark.parametrize("attention_type", ["space_only", "joint_space_time"])
def test_image_vit_fits_schemes_without_temporal_attention(
    trained: VisionTransformer, attention_type: str
) -> None:
    report = load_state(tiny_network(attention_type), image_state(trained))
    assert report.inflated == []
    assert report.new == (["time_embed"] if attention_type == "joint_space_time" else [])


@pytest.mark.parametrize("mode", ["nearest", "bicubic"])
def test_embeddings_of_another_size_are_resized(
    trained: VisionTransformer, mode: SpatialMode
) -> None:
    network = tiny_network(img_size=(24, 40), num_frames=7)
    report = load_state(network, trained.state_dict(), pos_embed_mode=mode)
    expected = resize_spatial(trained.pos_embed, (2, 2), (3, 5), mode)
    assert torch.equal(network.pos_embed, expected)
    assert torch.equal(network.time_embed, resize_temporal(trained.time_embed, 7))
    assert report.resized == ["pos_embed 2x2 -> 3x5", "time_embed 4 -> 7"]


def test_report_is_a_table_for_people(trained: VisionTransformer) -> None:
    network = tiny_network(num_classes=9, img_size=24)
    report = load_state(network, trained.state_dict(), source="x.pyth")
    lines = [" ".join(line.split()) for line in str(report).splitlines()]
    assert lines[0] == "Weights from x.pyth (TimeSformer):"
    assert "resized 1 pos_embed 2x2 -> 3x3" in lines
    assert "newly initialised 2 head.weight, head.bias" in lines
    assert "unused 2 head.weight (5, 24), head.bias (5,)" in lines
    counted = len(report.loaded) + len(report.resized) + len(report.new)
    assert counted == len(network.state_dict())


def test_the_table_is_printed_where_there_is_no_log(
    trained: VisionTransformer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As in a script that sets up no logging."""
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    monkeypatch.setattr(logging.getLogger("timesformer"), "propagate", False)
    monkeypatch.setattr(logging.getLogger("timesformer"), "handlers", [])
    TimeSformer(**GEOMETRY, pretrained_model=str(tmp_path / "weights.pth"))
    assert f"loaded {len(trained.state_dict()):>4}  cls_token" in capsys.readouterr().out


def test_features_need_no_head(trained: VisionTransformer) -> None:
    report = load_state(tiny_network(num_classes=0), trained.state_dict())
    assert report.new == []
    assert report.unused == ["head.weight (5, 24)", "head.bias (5,)"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"embed_dim": 48},
            r"'cls_token' has shape \(1, 1, 24\) in f\.pth \(TimeSformer\) and \(1, 1, 48\) in the",
        ),
        ({"patch_size": 4, "img_size": 8}, r"'patch_embed.proj.weight' .*patch_size"),
        ({"mlp_ratio": 2.0}, r"'blocks.0.mlp.fc1.weight' .*mlp_ratio"),
        ({"depth": 3}, r"f\.pth \(TimeSformer\) lacks tensors .*: blocks\.2\..*and 17 more.*depth"),
        ({"depth": 1}, r"f\.pth \(TimeSformer\) holds tensors .* no place for: blocks\.1\."),
        ({"qkv_bias": False}, r"no place for: blocks\.0\.attn\.qkv\.bias"),
        ({"attention_type": "joint_space_time"}, r"no place for: .*temporal_.*attention type"),
    ],
)
def test_what_does_not_fit_is_an_error_and_changes_nothing(
    trained: VisionTransformer, changes: dict[str, Any], sentence: str
) -> None:
    network = tiny_network(**changes)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(UserError, match=sentence):
        load_state(network, trained.state_dict(), source="f.pth")
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_other_channels_keep_what_grey_pictures_give(
    trained: VisionTransformer, channels: int
) -> None:
    network = tiny_network(in_chans=channels).eval()
    report = load_state(network, trained.state_dict())
    assert report.resized == [f"patch_embed.proj.weight 3 -> {channels} channels"]
    grey = clip()[:, :1]
    expected = trained(grey.expand(-1, 3, -1, -1, -1))
    actual = network(grey.expand(-1, channels, -1, -1, -1))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_listed_where_that_is_asked_for(trained: VisionTransformer) -> None:
    state = trained.state_dict()
    del state["blocks.1.temporal_fc.weight"]
    network = tiny_network(depth=3, mlp_ratio=2.0)
    report = load_state(network, {**state, "stranger": torch.zeros(3)}, strict=False)
    assert torch.equal(network.blocks[1].attn.qkv.weight, trained.blocks[1].attn.qkv.weight)
    assert "stranger (3,)" in report.unused
    assert "blocks.0.mlp.fc1.weight (96, 24)" in report.unused
    assert {"blocks.1.temporal_fc.weight", "blocks.2.norm1.weight", "blocks.0.mlp.fc1.weight"} <= {
        *report.new
    }
    assert len(report.loaded) + len(report.new) == len(network.state_dict())


def test_other_heads_than_the_file_states_are_refused(trained: VisionTransformer) -> None:
    weights = Weights(trained.state_dict(), "f.pth", stated={"num_heads": 3})
    assert load_weights(tiny_network(), weights).new == []
    with pytest.raises(UserError, match="f.pth is of a network with 3 attention heads.*has 4"):
        load_weights(tiny_network(num_heads=4), weights)


@pytest.mark.parametrize("size", [(16, 24), (16, 64), (72, 128)])
def test_the_same_number_of_places_is_the_same_grid_where_nothing_is_stated(
    size: tuple[int, int],
) -> None:
    """2 x 8 and 9 x 16 are as many places as a square has."""
    oblong = tiny_network(img_size=size)
    randomise(oblong)
    network = tiny_network(img_size=size)
    assert load_state(network, oblong.state_dict()).resized == []
    assert same_weights(network, oblong)


@pytest.mark.parametrize("changes", [{}, {"pos_embed": "space"}], ids=str)
@pytest.mark.parametrize("scheme", ["space_only", "joint_space_time"])
@pytest.mark.parametrize("size", [(8, 24), (16, 32), (24, 40)])
def test_our_own_files_are_not_taken_for_image_networks(
    tmp_path: Path, size: tuple[int, int], scheme: str, changes: dict[str, str]
) -> None:
    """With the class token, 1 x 3, 2 x 4 and 3 x 5 patches have a square number of positions."""
    trained = tiny_network(scheme, img_size=size, **changes)
    content = {"model_state": trained.state_dict(), "geometry": trained.geometry}
    torch.save(content, tmp_path / "ours.pyth")
    network = tiny_network(scheme, img_size=size, **changes)
    report = load_pretrained(network, tmp_path / "ours.pyth")
    assert (report.resized, report.changes, report.other) == ([], [], [])
    assert same_weights(network, trained)


@pytest.mark.parametrize(
    ("trained", "network", "difference"),
    [
        (
            "joint_space_time",
            {"attention_type": "divided_space_time"},
            "attention_type joint_space",
        ),
        (
            "divided_space_time",
            {"pos_embed": "space"},
            "pos_embed space_time in the file, space in",
        ),
        ("space_only", {"attention_type": "joint_space_time"}, "attention_type space_only in the"),
    ],
)
def test_another_network_than_the_trained_one_is_said(
    trained: str, network: dict[str, str], difference: str
) -> None:
    origin = tiny_network(trained)
    weights = Weights(origin.state_dict(), "f.pth", stated=origin.geometry)
    report = load_weights(tiny_network(**{"attention_type": trained, **network}), weights)
    assert report.other[0].startswith(difference)
    assert difference in str(report)


def test_unusual_heads_are_noted_where_the_file_is_silent(trained: VisionTransformer) -> None:
    report = load_state(tiny_network(), trained.state_dict())
    assert report.changes == [
        "the file does not state its heads; the model has 3 of width 8, and 64 is usual"
    ]


def test_weights_that_have_nothing_in_common_are_refused() -> None:
    with pytest.raises(UserError, match=r"Nothing in a state dict .* fits the model"):
        load_state(tiny_network(), {"layer1.weight": torch.zeros(1)}, strict=False)


def test_a_stated_grid_needs_not_be_square() -> None:
    oblong, square = tiny_network(img_size=(16, 24)), tiny_network()
    weights = Weights(oblong.state_dict(), "f.pth", stated=oblong.geometry)
    assert load_weights(square, weights).resized == ["pos_embed 2x3 -> 2x2"]
    expected = resize_spatial(oblong.pos_embed, (2, 3), (2, 2), "bicubic")
    assert torch.equal(square.pos_embed, expected)


@pytest.mark.parametrize(
    ("pos_embed", "unused"), [("space", ["time_embed"]), ("none", ["time_embed", "pos_embed"])]
)
def test_embeddings_that_the_network_does_without_are_left_out(
    trained: VisionTransformer, pos_embed: str, unused: list[str]
) -> None:
    report = load_state(tiny_network(pos_embed=pos_embed), trained.state_dict())
    assert report.unused == unused
    assert report.new == []


def test_from_16_frames_at_448_pixels_to_8_at_224_and_back(tmp_path: Path) -> None:
    """The grid of HR and that of the default model, at a width a test can afford."""
    small = {"embed_dim": 24, "depth": 1, "num_heads": 3, "patch_size": 16}
    large = VisionTransformer(img_size=448, num_frames=16, num_classes=5, **small)
    randomise(large)
    torch.save({"model_state": large.state_dict()}, tmp_path / "hr.pyth")
    default = VisionTransformer(img_size=224, num_frames=8, num_classes=5, **small)
    report = load_pretrained(default, tmp_path / "hr.pyth")
    assert report.resized == ["pos_embed 28x28 -> 14x14", "time_embed 16 -> 8"]
    assert "pos_embed 28x28 -> 14x14, time_embed 16 -> 8" in str(report)
    torch.save(default.state_dict(), tmp_path / "default.pyth")
    report = load_pretrained(large, tmp_path / "default.pyth")
    assert report.resized == ["pos_embed 14x14 -> 28x28", "time_embed 8 -> 16"]
    assert large.eval()(clip(1, 16, 448, 448)).isfinite().all()


def test_a_lost_temporal_tensor_is_not_taken_for_an_image_network(
    trained: VisionTransformer,
) -> None:
    state = trained.state_dict()
    del state["blocks.1.temporal_fc.weight"]
    with pytest.raises(UserError, match=r"lacks tensors .*: blocks\.1\.temporal_fc\.weight\."):
        load_state(tiny_network(), state)


def test_position_grid_that_is_no_square_cannot_be_resized() -> None:
    oblong = tiny_network(img_size=(16, 24))
    with pytest.raises(UserError, match="6 patch positions, which is no square grid"):
        load_state(tiny_network(), oblong.state_dict())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no weights file .*nowhere\.pyth"):
        TimeSformer(**GEOMETRY, pretrained_model=str(tmp_path / "nowhere.pyth"))


@pytest.mark.parametrize("suffix", [".pyth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.99])
def test_truncated_file(
    trained: VisionTransformer, tmp_path: Path, suffix: str, kept: float
) -> None:
    path = tmp_path / f"weights{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save(trained.state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(UserError, match=f"weights{suffix}' cannot be read as a weights file"):
        read_weights(path)


def test_a_page_instead_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_text("<!DOCTYPE html><html>Sign in to continue</html>")
    with pytest.raises(UserError, match="truncated or of another kind"):
        read_weights(path)


@pytest.mark.parametrize("plain", [False, True])
def test_a_file_that_wants_to_execute_code_is_refused(tmp_path: Path, plain: bool) -> None:
    made, path = tmp_path / "made", tmp_path / "weights.pth"
    content = {"model_state": {"cls_token": Code(made)}}
    if plain:
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=r"was refused: .*execute code .*mkdir"):
        read_weights(path)
    assert not made.exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            {"epoch": 3, "net": {"a": torch.zeros(1)}},
            "no plain state dict: epoch, net are no plain tensors",
        ),
        ([torch.zeros(1)], r"holds no named tensors \(it is a list\)"),
        ({"cls_token": torch.zeros(1, dtype=torch.complex64)}, "cls_token are no plain tensors"),
        ({}, "holds no named tensors"),
    ],
)
def test_a_file_without_a_state_dict(tmp_path: Path, content: object, sentence: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(UserError, match=sentence):
        read_weights(path)


def test_a_model_that_is_none_of_ours(trained: VisionTransformer) -> None:
    with pytest.raises(UserError, match="Linear is no model that weights could be fitted to"):
        load_state(nn.Linear(2, 2), trained.state_dict())


@pytest.mark.parametrize(
    ("frames", "side", "classes"),
    [
        (8, 224, 400),  # Kinetics-400, and its HR and L
        (16, 448, 400),
        (96, 224, 400),
        (8, 224, 600),  # Kinetics-600
        (8, 224, 174),  # Something-Something V2, and its HR and L
        (16, 448, 174),
        (64, 224, 174),
        (8, 224, 1059),  # HowTo100M
        (32, 224, 1059),
        (64, 448, 1059),
        (96, 224, 1059),
    ],
)
def test_files_in_the_shapes_of_the_released_ones(
    tmp_path: Path, frames: int, side: int, classes: int
) -> None:
    """Container, names and shapes of the released files, but for the width and the depth."""
    shape = {"img_size": side, "num_frames": frames, "num_classes": classes}
    small = {"embed_dim": 8, "depth": 1, "num_heads": 2}
    released = VisionTransformer(**shape, **small)
    randomise(released)
    content = {
        "epoch": 14,
        "model_state": prefixed(released.state_dict(), "model."),
        "optimizer_state": {"state": {}, "param_groups": []},
        "cfg": "TIMESFORMER:\n  ATTENTION_TYPE: divided_space_time\n",
    }
    path = tmp_path / "TimeSformer.pyth"
    torch.save(content, path)
    network = VisionTransformer(**shape, **small)
    report = load_pretrained(network, path)
    assert len(report.loaded) == len(network.state_dict())
    assert same_weights(network, released)
    default = VisionTransformer(num_classes=classes, **small)
    report = load_pretrained(default, path)
    changed = (side != 224) + (frames != 8)
    assert (len(report.resized), report.new, report.unused) == (changed, [], [])


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.mark.slow
@needs_shared_data
def test_a_real_image_network_is_inflated() -> None:
    """ViT-S/14: 37 x 37 patches to 16 x 16; at first the video network is it, on every frame."""
    path = DATA / "weights" / "vit_small_patch14_plain_ls_folded.fp16.safetensors"
    small = MODEL_REGISTRY.get("timesformer_small")
    video = small(patch_size=14, num_frames=2, num_classes=9).eval()
    report = load_pretrained(video, path)
    assert (len(report.loaded), len(report.inflated), len(report.new)) == (149, 72, 27)
    assert report.resized == ["pos_embed 37x37 -> 16x16"]
    assert report.unused == []

    image = small(patch_size=14, num_frames=1, num_classes=0, attention_type="space_only").eval()
    load_pretrained(image, path)
    picture = clip(batch=1, frames=1, height=224, width=224)
    with torch.no_grad():
        features = video.forward_features(picture.expand(-1, -1, 2, -1, -1))
        torch.testing.assert_close(features, image(picture), rtol=1e-3, atol=1e-3)
