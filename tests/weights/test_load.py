"""From a file or folder to named tensors and the geometry of their network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.models.tiny import randomise, tiny_network
from timesformer.errors import UserError
from timesformer.models import VisionTransformer
from timesformer.models.attention import ATTENTION_SCHEMES
from timesformer.weights.formats import to_foreign_names
from timesformer.weights.load import read_weights

KINDS: list[dict[str, Any]] = [
    *({"attention_type": scheme} for scheme in ATTENTION_SCHEMES.names()),
    {"pos_embed": "none"},
    {"pos_embed": "space"},
    {"pos_embed": "space", "attention_type": "joint_space_time"},
    {"head_hidden_dim": 6},
    {"num_classes": 0},
    {"qkv_bias": False, "mlp_ratio": 2.0, "depth": 3, "in_chans": 1},
]


def network(**changes: Any) -> VisionTransformer:
    made = tiny_network(changes.pop("attention_type", "divided_space_time"), **changes)
    randomise(made)
    return made


@pytest.mark.parametrize("changes", KINDS, ids=str)
def test_the_geometry_is_read_off_the_tensors(tmp_path: Path, changes: dict[str, Any]) -> None:
    made = network(embed_dim=128, num_heads=2, **changes)
    torch.save(made.state_dict(), tmp_path / "weights.pth")
    geometry = read_weights(tmp_path / "weights.pth").geometry
    expected = made.geometry
    if made.pos_embed is None:  # nothing tells the size of the picture
        expected = {**expected, "img_size": geometry["img_size"]}
    if made.time_embed is None:  # nor the number of frames, nor what time would do
        expected = {**expected, "num_frames": 1}
    if "joint_space_time" in changes.values() and made.time_embed is None:
        expected = {**expected, "attention_type": "space_only", "pos_embed": "space_time"}
    assert geometry == expected


@pytest.mark.parametrize("changes", KINDS, ids=str)
def test_a_checkpoint_states_its_geometry(tmp_path: Path, changes: dict[str, Any]) -> None:
    made = network(img_size=(16, 24), **changes)
    content = {"epoch": 3, "model_state": made.state_dict(), "geometry": made.geometry}
    torch.save(content, tmp_path / "weights.pyth")
    assert read_weights(tmp_path / "weights.pyth").geometry == made.geometry


def test_a_json_file_beside_states_the_geometry(tmp_path: Path) -> None:
    made = network(num_heads=4)
    save_file(made.state_dict(), tmp_path / "weights.safetensors")
    (tmp_path / "weights.json").write_text(json.dumps({"geometry": made.geometry}))
    assert read_weights(tmp_path / "weights.safetensors").geometry["num_heads"] == 4
    # A checkpoint that happens to have the same name is not what the JSON file is about.
    own = network(num_heads=3)
    content = {"model_state": own.state_dict(), "geometry": own.geometry}
    torch.save(content, tmp_path / "weights.pyth")
    assert read_weights(tmp_path / "weights.pyth").geometry["num_heads"] == 3
    torch.save(own.state_dict(), tmp_path / "weights.pth")
    assert "num_heads" not in read_weights(tmp_path / "weights.pth").stated


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_transformers_folder(tmp_path: Path, name: str) -> None:
    made = network(num_heads=4)
    theirs = to_foreign_names(made.state_dict(), "Transformers TimeSformer")
    save = save_file if name.endswith("safetensors") else torch.save
    save(theirs, tmp_path / name)
    config = {"num_attention_heads": 4, "image_size": 16, "attention_type": "divided_space_time"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for source in (tmp_path, tmp_path / name):
        weights = read_weights(source)
        assert weights.format == "Transformers TimeSformer"
        assert weights.geometry == made.geometry
        assert all(torch.equal(weights.state[n], t) for n, t in made.state_dict().items())


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no weights: none of model\.safetensors, pytorch"):
        read_weights(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_broken_config_json(tmp_path: Path, text: str) -> None:
    save_file(network().state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json' (cannot be read|holds no JSON object)"):
        read_weights(tmp_path)


def test_arrays_of_numpy(tmp_path: Path) -> None:
    made = network()
    path = tmp_path / "weights.npz"
    np.savez(path, **{name: tensor.numpy() for name, tensor in made.state_dict().items()})
    weights = read_weights(path)
    assert all(torch.equal(weights.state[n], t) for n, t in made.state_dict().items())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"weights\.npz' cannot be read as a weights file"):
        read_weights(path)


def test_arrays_that_want_to_execute_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, cls_token=np.array([print], dtype=object))
    with pytest.raises(UserError, match=r"weights\.npz' cannot be read as a weights file"):
        read_weights(path)


@pytest.mark.parametrize("container", ["teacher", "state_dict_ema", "model_ema", "module"])
def test_containers_of_other_programs(tmp_path: Path, container: str) -> None:
    made = network()
    state = {f"module.{name}": tensor for name, tensor in made.state_dict().items()}
    torch.save({container: state, "epoch": 1}, tmp_path / "weights.pth")
    assert read_weights(tmp_path / "weights.pth").state.keys() == made.state_dict().keys()


def test_the_average_of_the_weights_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    made, average = network(), tiny_network()
    path = tmp_path / "checkpoint.pyth"
    content = {"model_state": made.state_dict(), "geometry": {"num_heads": 3}}
    torch.save({**content, "ema_state": average.state_dict()}, path)
    weights = read_weights(path, averaged=True)
    assert all(torch.equal(weights.state[n], t) for n, t in average.state_dict().items())
    assert weights.stated == {"num_heads": 3}
    weights = read_weights(path)
    assert all(torch.equal(weights.state[n], t) for n, t in made.state_dict().items())
    torch.save({**content, "ema_state": {}}, path)
    with pytest.raises(UserError, match=r"checkpoint\.pyth' holds no average of the weights"):
        read_weights(path, averaged=True)


@pytest.mark.parametrize("name", ["weights.bin", "WEIGHTS.SAFETENSORS", "latest"])
@pytest.mark.parametrize("kind", ["safetensors", "torch", "npz"])
def test_what_a_file_is_does_not_depend_on_its_name(tmp_path: Path, name: str, kind: str) -> None:
    made = network()
    path = tmp_path / name
    if kind == "safetensors":
        save_file(made.state_dict(), path)
    elif kind == "torch":
        torch.save(made.state_dict(), path)
    else:
        with path.open("wb") as file:
            np.savez(file, **{n: t.numpy() for n, t in made.state_dict().items()})
    assert read_weights(path).state.keys() == made.state_dict().keys()


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"patch_size": [4, 4]}, r"states patch_size \[4, 4\], but it must be a whole number"),
        ({"num_heads": "2"}, "states num_heads '2'"),
        ({"img_size": 0}, "states img_size 0"),
    ],
)
def test_a_geometry_that_is_none(tmp_path: Path, entry: dict[str, Any], sentence: str) -> None:
    content = {"model_state": network().state_dict(), "geometry": entry}
    torch.save(content, tmp_path / "weights.pyth")
    with pytest.raises(UserError, match=sentence):
        read_weights(tmp_path / "weights.pyth")


@pytest.mark.parametrize("entry", [{"hidden_act": "relu"}, {"layer_norm_eps": 1e-2}])
def test_a_network_that_computes_something_else(tmp_path: Path, entry: dict[str, Any]) -> None:
    theirs = to_foreign_names(network().state_dict(), "Transformers TimeSformer")
    save_file(theirs, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(entry))
    with pytest.raises(UserError, match=r"and a TimeSformer has gelu and 1e-6"):
        read_weights(tmp_path)


def test_a_strangers_json_beside_is_passed_over(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "best.safetensors")
    for text in ('["Archery"]', '{"accuracy": 1}', "{"):
        (tmp_path / "best.json").write_text(text)
        assert read_weights(tmp_path / "best.safetensors").stated == {}


def test_other_shapes_than_the_names_promise(tmp_path: Path) -> None:
    state = network(attention_type="space_only").state_dict() | {"pos_embed": torch.zeros(())}
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="looks like timm ViT, but its tensors have other shapes"):
        read_weights(tmp_path / "weights.pth")


def test_an_unknown_network_is_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"unknown network \(conv\.weight\)\. Known are: MMAction2"):
        read_weights(tmp_path / "weights.pth")


def test_patches_of_several_frames_have_no_geometry(tmp_path: Path) -> None:
    state = network().state_dict()
    patches = state["patch_embed.proj.weight"][:, :, None].repeat(1, 1, 2, 1, 1)
    torch.save({**state, "patch_embed.proj.weight": patches}, tmp_path / "tubelets.pth")
    assert read_weights(tmp_path / "tubelets.pth").geometry == {}


def test_a_baseline_has_no_geometry(tmp_path: Path) -> None:
    torch.save(
        {"layer1.0.conv1.weight": torch.zeros(3), "fc.weight": torch.ones(2)}, tmp_path / "r.pt"
    )
    weights = read_weights(tmp_path / "r.pt")
    assert weights.geometry == {}
    assert set(weights.state) == {"backbone.layer1.0.conv1.weight", "head.weight"}
