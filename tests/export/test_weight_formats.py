"""Weights on their way out: every format against the program it is for, and back again."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from tests.models.tiny import clip, randomise, tiny_cfg, tiny_network
from timesformer.config import load_config
from timesformer.errors import UserError
from timesformer.export.convert import TARGETS, convert
from timesformer.export.formats import read_back
from timesformer.export.network import as_network
from timesformer.models import MODEL_REGISTRY, VisionTransformer, build_model
from timesformer.weights.load import read_weights

ROOT = Path(__file__).parents[2]
RELEASED = ["divided_space_time", "joint_space_time", "space_only"]
SCHEMES = [*RELEASED, "sparse_local_global", "axial"]
OUT = {  # the weights formats, and a name that each may have
    "released": "out.pyth",
    "transformers": "out",
    "mmaction2": "out.pth",
    "safetensors": "out.safetensors",
}
CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # two implementations of the same sums in float32


def random_network(scheme: str = "divided_space_time", **changes: Any) -> VisionTransformer:
    network = tiny_network(scheme, **changes).eval().requires_grad_(False)
    randomise(network)
    return network


def trained(
    folder: Path, scheme: str = "divided_space_time", *, dtype: Any = torch.float32, **changes: Any
) -> Path:
    """A checkpoint of a run, as `TrainState` writes one, reduced to what is read."""
    network = random_network(scheme, **changes)
    state = {f"model.{name}": t.to(dtype) for name, t in network.state_dict().items()}
    path = folder / "in.pyth"
    torch.save({"epoch": 3, "model_state": state, "geometry": network.geometry}, path)
    return path


def assert_same(path: Path, expected: Path) -> None:
    """Both files hold the same tensors, bit for bit, of the same network."""
    one, other = read_weights(path), read_weights(expected)
    assert one.state.keys() == other.state.keys()
    for name, tensor in other.state.items():
        assert one.state[name].dtype == tensor.dtype
        assert torch.equal(one.state[name], tensor), name
    # What a width of an MLP is given as may differ, what it comes to may not.
    assert one.geometry == other.geometry | {"mlp_ratio": one.geometry["mlp_ratio"]}


def refusal(*args: Any, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        convert(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- every format, and back ---


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("to", OUT)
def test_every_format_gives_back_what_it_was_given(
    to: str, dtype: torch.dtype, scheme: str, tmp_path: Path
) -> None:
    path, out = trained(tmp_path, scheme, dtype=dtype), tmp_path / "new" / "folder" / OUT[to]
    if scheme not in RELEASED and to != "safetensors":
        assert f"which has no TimeSformer with {scheme} attention: choose" in refusal(path, out, to)
        assert not any(out.parent.iterdir())
        return
    convert(path, out, to)
    assert_same(out, path)
    assert len(list(out.parent.iterdir())) == (2 if to == "safetensors" else 1)


@pytest.mark.parametrize("to", OUT)
@pytest.mark.parametrize(
    "changes",
    [{"num_classes": 0}, {"num_heads": 4}, {"in_chans": 2, "num_frames": 3, "img_size": 24}],
    ids=str,
)
def test_other_networks_come_back_too(to: str, changes: dict[str, Any], tmp_path: Path) -> None:
    path = trained(tmp_path, **changes)
    convert(path, tmp_path / OUT[to], to)
    assert_same(tmp_path / OUT[to], path)


def test_from_program_to_program_and_back(tmp_path: Path) -> None:
    path = trained(tmp_path)
    for number, to in enumerate(["released", "transformers", "mmaction2", "released"]):
        convert(path, tmp_path / f"{number}{OUT[to]}", to)
        path = tmp_path / f"{number}{OUT[to]}"
    first, last = torch.load(tmp_path / "0out.pyth"), torch.load(path)
    assert first["model_state"].keys() == last["model_state"].keys()
    assert all(torch.equal(t, last["model_state"][n]) for n, t in first["model_state"].items())
    assert first["geometry"] == last["geometry"]


# --- the released code ---


@pytest.mark.parametrize("scheme", RELEASED)
def test_the_released_loader_finds_what_it_compares(scheme: str, tmp_path: Path) -> None:
    convert(trained(tmp_path, scheme), tmp_path / "out.pyth", "released")
    checkpoint = torch.load(tmp_path / "out.pyth", map_location="cpu", weights_only=True)
    assert list(checkpoint) == ["epoch", "model_state", "optimizer_state", "cfg", "geometry"]
    theirs = build_model(tiny_cfg(TIMESFORMER__ATTENTION_TYPE=scheme)).state_dict()
    assert {n: t.shape for n, t in checkpoint["model_state"].items()} == {
        n: t.shape for n, t in theirs.items()
    }
    assert all(name.startswith("model.") for name in checkpoint["model_state"])


def test_the_config_in_the_file_builds_the_network(tmp_path: Path) -> None:
    changes = {"img_size": 24, "mlp_ratio": 2.0, "qkv_bias": False, "num_heads": 4}
    convert(trained(tmp_path, "joint_space_time", **changes), tmp_path / "out.pyth", "released")
    checkpoint = torch.load(tmp_path / "out.pyth", weights_only=True)
    (tmp_path / "cfg.yaml").write_text(checkpoint["cfg"])
    model = build_model(load_config(tmp_path / "cfg.yaml"))
    model.load_state_dict(checkpoint["model_state"])
    assert model.model.geometry == checkpoint["geometry"]


@pytest.mark.parametrize("changes", [{"img_size": (8, 16)}, {"in_chans": 4}, {"num_classes": 0}])
def test_no_config_can_name_such_a_network(changes: dict[str, Any], tmp_path: Path) -> None:
    convert(trained(tmp_path, **changes), tmp_path / "out.pyth", "released")
    checkpoint = torch.load(tmp_path / "out.pyth", weights_only=True)
    assert checkpoint["cfg"] == ""
    assert checkpoint["geometry"]["num_heads"] == 3


# --- Transformers ---


@pytest.mark.parametrize("scheme", RELEASED)
@pytest.mark.parametrize(
    "changes",
    [{}, {"img_size": 24, "num_frames": 3, "mlp_ratio": 2.0, "qkv_bias": False, "in_chans": 4}],
    ids=["usual", "unusual"],
)
def test_transformers_gives_the_same_logits(
    scheme: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    convert(trained(tmp_path, scheme, **changes), tmp_path / "out", "transformers")
    theirs, report = transformers.TimesformerForVideoClassification.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    network = random_network(scheme, **changes)
    # Their space-only network has logits for every frame, so it is asked for one.
    frames = 1 if scheme == "space_only" else network.grid.frames
    side, channels = network.geometry["img_size"], network.geometry["in_chans"]
    video = clip(frames=frames, height=side, width=side)[:, [0, 1, 2, 0][:channels]]
    with torch.no_grad():
        logits = theirs.eval()(video.transpose(1, 2)).logits
    torch.testing.assert_close(logits, network(video), **CLOSE)
    assert logits.abs().max() > 0.1


def test_transformers_without_a_head(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    convert(trained(tmp_path, num_classes=0), tmp_path / "out", "transformers")
    theirs = transformers.AutoModel.from_pretrained(tmp_path / "out").eval()
    assert theirs.config.architectures == ["TimesformerModel"]
    with torch.no_grad():
        features = theirs(clip().transpose(1, 2)).last_hidden_state[:, 0]
    torch.testing.assert_close(features, random_network(num_classes=0)(clip()), **CLOSE)


def test_labels_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    path = trained(tmp_path)
    convert(path, tmp_path / "plain", "transformers")
    assert json.loads((tmp_path / "plain" / "config.json").read_text())["label2id"]["LABEL_4"] == 4
    (tmp_path / "names.txt").write_text("up\ndown \nleft\nright\nlétting go\n\n")
    convert(path, tmp_path / "out", "transformers", class_names=tmp_path / "names.txt")
    config = transformers.AutoConfig.from_pretrained(tmp_path / "out")
    assert config.id2label == {0: "up", 1: "down", 2: "left", 3: "right", 4: "létting go"}
    assert config.label2id["left"] == 2


@pytest.mark.parametrize("kind", ["AutoImageProcessor", "AutoVideoProcessor"])
def test_transformers_normalises_as_we_do(kind: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    convert(trained(tmp_path), tmp_path / "out", "transformers")
    processor = getattr(transformers, kind).from_pretrained(tmp_path / "out")
    frames = [torch.full((3, 24, 36), 51, dtype=torch.uint8)] * 4
    video = frames if kind == "AutoImageProcessor" else torch.stack(frames)
    pixels = processor(video, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 4, 3, 16, 16)
    expected = torch.full_like(pixels, (51 / 255 - 0.45) / 0.225)
    torch.testing.assert_close(pixels, expected, rtol=0, atol=1e-5)


# --- MMAction2, and our own ---


def test_mmaction2_names_and_how_it_has_to_normalise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "timesformer"):
        convert(trained(tmp_path), tmp_path / "out.pth", "mmaction2")
    content = torch.load(tmp_path / "out.pth", weights_only=True)
    assert content["meta"] == {}
    assert (
        "backbone.transformer_layers.layers.1.attentions.0.attn.in_proj_weight"
        in (content["state_dict"])
    )
    assert "cls_head.fc_cls.bias" in content["state_dict"]
    assert "normalise as in training: mean 114.75 and std 57.375 for each channel" in caplog.text


def test_another_normalisation_for_transformers(tmp_path: Path) -> None:
    """It is that of the checkpoint's config, on every way."""
    network = random_network()
    cfg = load_config(None, ["DATA.MEAN", [0.5, 0.4, 0.3], "DATA.STD", [0.1, 0.2, 0.3]]).dump()
    content = {"model_state": network.state_dict(), "cfg": cfg, "geometry": network.geometry}
    torch.save(content, tmp_path / "in.pyth")
    convert(tmp_path / "in.pyth", tmp_path / "again.pyth", "released")
    convert(tmp_path / "again.pyth", tmp_path / "out", "transformers")
    preprocessor = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
    assert preprocessor["image_mean"] == [0.5, 0.4, 0.3]
    assert preprocessor["image_std"] == [0.1, 0.2, 0.3]
    torch.save({"model_state": network.state_dict(), "cfg": "DATA: [1]"}, tmp_path / "mute.pyth")
    assert read_weights(tmp_path / "mute.pyth").normalization == {}


def test_our_own_safetensors(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"img_size": (8, 24), "head_hidden_dim": 7, "pos_embed": "space"}
    convert(trained(tmp_path, "axial", **changes), tmp_path / "out.safetensors", "safetensors")
    about = json.loads((tmp_path / "out.json").read_text())
    network = random_network("axial", **changes)
    assert about["geometry"] == network.geometry
    assert (about["format"], about["source"]) == ("timesformer", str(tmp_path / "in.pyth"))
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert set(file.keys()) == network.state_dict().keys()
    read = VisionTransformer(**read_weights(tmp_path / "out.safetensors").geometry)
    read.load_state_dict(read_weights(tmp_path / "out.safetensors").state)
    video = clip(height=8, width=24)
    assert torch.equal(read.eval()(video), network(video))


# --- what is known of the network, and what is not ---


def plain(folder: Path, state: dict[str, Tensor], name: str = "in.pth") -> Path:
    torch.save(state, folder / name)
    return folder / name


def test_heads_are_assumed_aloud_or_given(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = plain(tmp_path, random_network().state_dict())
    with caplog.at_level(logging.INFO, "timesformer"):
        convert(path, tmp_path / "a.safetensors", "safetensors")
    assert "Assumed, because the file does not state it: num_heads 1\n" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "timesformer"):
        convert(path, tmp_path / "b.safetensors", "safetensors", num_heads=3)
    assert "Assumed" not in caplog.text
    assert read_weights(tmp_path / "a.safetensors").geometry["num_heads"] == 1
    assert read_weights(tmp_path / "b.safetensors").geometry["num_heads"] == 3


def test_an_image_vit_is_a_space_only_network(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = plain(tmp_path, random_network("space_only").state_dict())
    with caplog.at_level(logging.INFO, "timesformer"):
        convert(path, tmp_path / "out", "transformers", num_heads=3)
    assert "state it: num_frames 1, attention_type space_only\n" in caplog.text
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["attention_type"], config["num_frames"]) == ("space_only", 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_another_size_changes_the_embeddings_alone(dtype: torch.dtype, tmp_path: Path) -> None:
    path, out = trained(tmp_path, dtype=dtype), tmp_path / "out.safetensors"
    convert(path, out, "safetensors", num_frames=8, img_size=32)
    before, after = read_weights(path), read_weights(out)
    assert after.geometry == before.geometry | {"num_frames": 8, "img_size": 32}
    assert {t.dtype for t in after.state.values()} == {dtype}
    changed = [n for n, t in before.state.items() if not torch.equal(t, after.state[n])]
    assert changed == ["pos_embed", "time_embed"]
    assert torch.equal(
        after.state["time_embed"], before.state["time_embed"].repeat_interleave(2, dim=1)
    )
    # A larger grid of the same function: its corners lie outside of the old ones' centres.
    assert after.state["pos_embed"].shape == (1, 17, 24)
    assert torch.equal(after.state["pos_embed"][:, 0], before.state["pos_embed"][:, 0])


def test_a_part_of_a_larger_tensor_does_not_take_the_rest_along(tmp_path: Path) -> None:
    state = random_network().state_dict()
    state["head.weight"] = torch.randn(10_000, 24)[::2000]
    convert(plain(tmp_path, state), tmp_path / "out.pyth", "released", num_heads=3)
    assert (tmp_path / "out.pyth").stat().st_size < 300_000


def test_weights_that_are_no_numbers_stay_what_they_are(tmp_path: Path) -> None:
    state = random_network().state_dict()
    state["norm.bias"][0] = float("nan")
    convert(plain(tmp_path, state), tmp_path / "out.safetensors", "safetensors")
    assert read_weights(tmp_path / "out.safetensors").state["norm.bias"][0].isnan()


# --- refusals ---


@pytest.mark.parametrize(
    ("to", "changes", "words"),
    [
        ("released", {"head_hidden_dim": 7}, "with a hidden layer in the head"),
        ("released", {"pos_embed": "space"}, "without embeddings of place and time"),
        ("mmaction2", {"pos_embed": "none"}, "without embeddings of place and time"),
        ("mmaction2", {"mlp_ratio": 2.0}, "with an MLP 2 times as wide"),
        ("mmaction2", {"qkv_bias": False}, "without biases for queries, keys and values"),
        ("transformers", {"head_hidden_dim": 7}, "with a hidden layer in the head"),
        ("transformers", {"img_size": (8, 16)}, "for frames that are not square"),
    ],
)
def test_what_other_programs_have_no_network_for(
    to: str, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = trained(tmp_path, **changes)
    sentence = refusal(path, tmp_path / OUT[to], to)
    assert sentence.startswith(f"{path} cannot be written for ")
    assert f"which has no TimeSformer {words}: choose --to safetensors, torch_exp" in sentence
    assert list(tmp_path.iterdir()) == [path]


def test_baselines_are_refused(tmp_path: Path) -> None:
    model = MODEL_REGISTRY.get("resnet18_average")(num_classes=5)
    path = plain(tmp_path, model.state_dict())
    sentence = refusal(path, tmp_path / "out.safetensors", "safetensors")
    assert "(ResNet baseline) is no TimeSformer and no plain image ViT, and only these" in sentence


def test_patches_of_several_frames_are_refused(tmp_path: Path) -> None:
    state = random_network("space_only").state_dict()
    state["patch_embed.proj.weight"] = torch.zeros(24, 3, 2, 8, 8)
    sentence = refusal(plain(tmp_path, state), tmp_path / "out.onnx", "onnx")
    assert "is no TimeSformer and no plain image ViT" in sentence


def test_tensors_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.safetensors"
    save_file(random_network(img_size=(8, 16)).state_dict(), path)
    sentence = refusal(path, tmp_path / "out.pyth", "released")
    assert ": pos_embed differ. State the geometry of the network: as .safetensors" in sentence
    path.with_suffix(".json").write_text('{"geometry": {"img_size": [8, 16], "num_heads": 3}}')
    convert(path, tmp_path / "out.pyth", "released")
    assert read_weights(tmp_path / "out.pyth").geometry["img_size"] == [8, 16]


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        ({"depth": "two"}, "in.json states depth 'two', but it must be a whole number above 0"),
        ({"colour": 1}, "states a geometry that no network can have ("),
        ({"img_size": [8]}, "states a geometry that no network can have ("),
        ({"num_heads": 0}, "in.json states num_heads 0, but it must be a whole number above 0"),
        ({"num_heads": 5}, "The width 24 (embed_dim) does not divide over 5 attention heads"),
        ({"attention_type": "divided"}, "'divided' is not a known attention type"),
        ({"depth": 3}, "blocks.2.norm1.weight, blocks.2.norm1.bias, "),
    ],
)
def test_geometries_that_cannot_be(geometry: dict[str, Any], words: str, tmp_path: Path) -> None:
    save_file(random_network().state_dict(), tmp_path / "in.safetensors")
    (tmp_path / "in.json").write_text(json.dumps({"geometry": geometry}))
    assert words in refusal(tmp_path / "in.safetensors", tmp_path / "out.pyth", "released")


@pytest.mark.parametrize("option", ["num_heads", "num_frames", "img_size"])
def test_sizes_below_one(option: str, tmp_path: Path) -> None:
    path = trained(tmp_path)
    sentence = refusal(path, tmp_path / "out.pyth", "released", **{option: 0})
    assert sentence == f"--{option.replace('_', '-')} is 0, but must be at least 1."


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("a\nb\n", "names 2 classes, and the network has 5: give one name a line"),
        ("a\nb\nc\nb\ne\n", "names the class 'b' twice"),
        (None, "cannot be read: "),
    ],
)
def test_class_names_that_do_not_fit(names: str | None, words: str, tmp_path: Path) -> None:
    path, file = trained(tmp_path), tmp_path / "names.txt"
    if names is not None:
        file.write_text(names)
    assert words in refusal(path, tmp_path / "out", "transformers", class_names=file)
    assert not (tmp_path / "out").exists()


def test_class_names_are_not_passed_over(tmp_path: Path) -> None:
    sentence = refusal(trained(tmp_path), tmp_path / "o.pth", "mmaction2", class_names="names.txt")
    assert sentence.startswith("--class-names is for --to transformers")


# --- where it is written ---


@pytest.mark.parametrize("to", OUT)
def test_what_is_there_stays_unless_it_may_be_replaced(to: str, tmp_path: Path) -> None:
    path, out = trained(tmp_path), tmp_path / OUT[to]
    convert(path, out, to)
    trained(tmp_path, depth=1)
    sentence = refusal(path, out, to)
    assert sentence == f"'{out}' exists already: name another, or replace it with --overwrite."
    assert read_weights(out).geometry["depth"] == 2
    convert(path, out, to, overwrite=True)
    assert_same(out, path)


def test_a_file_may_be_replaced_by_itself_at_another_size(tmp_path: Path) -> None:
    path = trained(tmp_path)
    convert(path, path, "released", num_frames=8, overwrite=True)
    assert read_weights(path).state["time_embed"].shape == (1, 8, 24)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_keeps_what_else_lies_in_it(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("mine")
    convert(trained(tmp_path), tmp_path / "out", "transformers", overwrite=True)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]
    assert read_weights(tmp_path / "out").geometry["num_heads"] == 3


def test_a_file_of_someone_else_beside_it_stays(tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("mine")
    sentence = refusal(trained(tmp_path), tmp_path / "out.safetensors", "safetensors")
    assert sentence.startswith(f"'{tmp_path / 'out.json'}' exists already")
    assert (tmp_path / "out.json").read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.pyth", "out.json"]


@pytest.mark.parametrize(
    ("to", "name", "words"),
    [
        ("safetensors", "out.pth", "must end in .safetensors for --to safetensors."),
        ("released", "out", "must end in .pyth or .pth or .pt or .bin for --to released."),
        ("transformers", "in.pyth", "--to transformers writes a folder, and "),
        ("released", "folder.pth", "--to released writes a file, and "),
        ("released", "in.pyth/out.pth", "'out.pth' could not be written ("),
        ("keras", "out.h5", "--to is 'keras'; it must be one of released, transformers, mmaction2"),
    ],
)
def test_places_and_formats_that_cannot_be(to: str, name: str, words: str, tmp_path: Path) -> None:
    path = trained(tmp_path)
    (tmp_path / "folder.pth").mkdir()
    assert words in refusal(path, tmp_path / name, to)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder.pth", "in.pyth"]


@pytest.mark.parametrize("to", OUT)
def test_a_full_disk_leaves_nothing(
    to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    path = trained(tmp_path)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # no file may be larger: EFBIG
    try:
        sentence = refusal(path, tmp_path / OUT[to], to)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "could not be written (" in sentence
    assert list(tmp_path.iterdir()) == [path]


def test_what_reads_back_as_something_else_is_refused(tmp_path: Path) -> None:
    path = trained(tmp_path)
    weights = as_network(read_weights(path), {})
    assert read_back(weights, path) == (
        "49 tensors and the geometry read back the same, byte by byte"
    )
    state = weights.state | {"norm.bias": weights.state["norm.bias"].nextafter(torch.tensor(9.0))}
    for other in (
        replace(weights, state=state),
        replace(weights, state=weights.state | {"norm.bias": torch.zeros(24).half()}),
        replace(weights, state=weights.state | {"norm.more": torch.zeros(24)}),
        replace(weights, stated={**weights.stated, "num_heads": 1}),
    ):
        with pytest.raises(UserError, match=r"'in.pyth' does not hold what was written into it \("):
            read_back(other, path)


# --- the door ---


def run_tool(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "convert_checkpoint.py"), *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_door_converts_and_says_what_it_did(tmp_path: Path) -> None:
    path, out = trained(tmp_path), tmp_path / "out.pyth"
    done = run_tool(path, out, "--to", "released", "--num-frames", "8", "--img-size", "32")
    assert (done.returncode, done.stderr) == (0, "")
    read, resized, wrote = done.stdout.splitlines()
    assert read.startswith(f"Read {path} (TimeSformer): {{'img_size': 16, ")
    assert resized == "Resized: pos_embed 2x2 -> 4x4, time_embed 4 -> 8"
    assert wrote.startswith(f"Wrote {out} (released): 49 tensors and the geometry read back the ")
    cfg = yaml.safe_load(torch.load(out, weights_only=True)["cfg"])
    assert (cfg["DATA"]["NUM_FRAMES"], cfg["DATA"]["TRAIN_CROP_SIZE"]) == (8, 32)


def test_the_door_answers_a_broken_file_with_a_sentence(tmp_path: Path) -> None:
    path = trained(tmp_path)
    path.write_bytes(path.read_bytes()[:5000])
    done = run_tool(path, tmp_path / "out.pyth", "--to", "released")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: '{path}' cannot be read as a weights file; it is trunc")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_the_door_names_every_format() -> None:
    help_text = " ".join(run_tool("--help").stdout.split())
    assert all(name in help_text for name in TARGETS)
