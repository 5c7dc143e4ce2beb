"""The recipes for one's own videos, from a folder and an image network to a report."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.engine.runs import REPO, final_weights, metrics, run_process
from tests.small_videos import small_video
from timesformer.models import VisionTransformer

CLASSES = ("dive", "jump", "run")
SMALL = REPO / "configs" / "Custom" / "small.yaml"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    for label, name in enumerate(CLASSES):
        for number in range(6):
            small_video(folder / name / f"{number}.mp4", 10 * label + number)
    return folder


@pytest.fixture
def image_network(tmp_path: Path) -> Path:
    """A file of an image ViT with as many blocks as the recipe's, and little else."""
    torch.manual_seed(0)
    network = VisionTransformer(
        img_size=56,
        patch_size=14,
        num_classes=7,
        embed_dim=24,
        depth=12,
        num_heads=2,
        attention_type="space_only",
    )
    save_file(network.state_dict(), tmp_path / "vit.safetensors")
    return tmp_path / "vit.safetensors"


@pytest.mark.slow
def test_from_a_folder_and_an_image_network_to_a_report(
    videos: Path, image_network: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    changes = {
        "DATA.PATH_TO_DATA_DIR": videos,
        "DATA.TRAIN_JITTER_SCALES": "[28,32]",
        "DATA.TRAIN_CROP_SIZE": 28,
        "DATA.TEST_CROP_SIZE": 28,
        "MODEL.MODEL_NAME": "TimeSformer",
        "MODEL.NUM_CLASSES": len(CLASSES),
        "TIMESFORMER.PRETRAINED_MODEL": image_network,
        "TIMESFORMER.EMBED_DIM": 24,
        "TIMESFORMER.NUM_HEADS": 2,
        "SOLVER.MAX_EPOCH": 2,
        "DATA_LOADER.NUM_WORKERS": 0,
        "OUTPUT_DIR": out,
    }
    words = [str(word) for pair in changes.items() for word in pair]
    done = run_process(
        [sys.executable, str(REPO / "tools" / "run_net.py"), "--cfg", str(SMALL), *words]
    )
    assert done.returncode == 0, done.stderr
    assert (out / "report.html").stat().st_size > 0
    assert metrics(out, "test_final")
    assert "layers that do not learn, from the embeddings up: 9" in (out / "stdout.log").read_text()
    only_the_upper_third_has_learnt(load_file(image_network), final_weights(out))


def only_the_upper_third_has_learnt(
    before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]
) -> None:
    """Of the image network's tensors; those of the position embedding are of another grid."""
    kept, learnt = set(), set()
    for name, tensor in before.items():
        if not name.startswith("head") and name != "pos_embed":
            same = torch.equal(tensor, after[f"model.{name}"])
            (kept if same else learnt).add(".".join(name.split(".")[:2]))
    assert kept == {"cls_token", "patch_embed.proj", *(f"blocks.{i}" for i in range(8))}
    assert learnt == {"norm.weight", "norm.bias", *(f"blocks.{i}" for i in range(8, 12))}
