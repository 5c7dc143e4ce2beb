"""What an image network knows of actions before it learns any, and how it bears a time embedding.

python -m benchmarks.frozen_features --lists data/ucf101 --weights vit_small_patch14.safetensors

Logistic regression (standardised features, several strengths of regularisation) on the class token
of the middle one of eight frames, and on its mean over them: trained on the training list, scored
on the test list. Whether a clip runs forward or backward, from its frames' patches: logistic
regression on products of neighbours in time, after three depths of the network. And how far sines
and cosines of several sizes, as the time embedding, move the centred features of clips of four
frames. docs/FINETUNING.md says what follows. It takes minutes on a processor, and wants
scikit-learn.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from benchmarks import machine
from benchmarks.command import parser_of, write_json
from timesformer.config import load_config
from timesformer.datasets.build import normalizer, read_list, video_dataset
from timesformer.datasets.video import VideoDataset
from timesformer.models import build_model

CONFIG = (
    Path(__file__).parents[1] / "configs/UCF101/TimeSformer_divST_vit_small_patch14_4x16_224.yaml"
)
FRAMES = 8
SIZES = (112, 224)
STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # C of scikit-learn: the inverse of that of regularisation
BLOCKS = (3, 7, 11)
"""After which the direction of time is looked for; from 0."""
COMPONENTS = 16
TIME_EMBED_STDS = (0.01, 0.03, 0.1, 0.3)
CPU = torch.device("cpu")


def config(lists: Path, weights: Path, size: int, *changes: object) -> CfgNode:
    sizes = [
        *("DATA.TRAIN_CROP_SIZE", size, "DATA.TEST_CROP_SIZE", size),
        *("DATA.TRAIN_JITTER_SCALES", [size, size]),
        *("TEST.NUM_ENSEMBLE_VIEWS", 1, "TEST.NUM_SPATIAL_CROPS", 1),
    ]
    source = ["DATA.PATH_TO_DATA_DIR", lists, "TIMESFORMER.PRETRAINED_MODEL", weights]
    return load_config(CONFIG, [str(item) for item in (*source, *sizes, *changes)])


def listed(cfg: CfgNode, split: str) -> VideoDataset:
    """The videos of a split, each with the one view that a test takes."""
    return video_dataset(cfg.TEST.DATASET, cfg, "test", read_list(cfg.TEST.DATASET, cfg, split))


@torch.no_grad()
def features_of_frames(lists: Path, weights: Path, size: int, split: str) -> tuple[Tensor, Tensor]:
    """Float (n, FRAMES, D), the class token of each frame by itself; int64 (n,), the labels."""
    still = ("TIMESFORMER.ATTENTION_TYPE", "space_only", "DATA.SAMPLING", "uniform")
    cfg = config(lists, weights, size, *still, "DATA.NUM_FRAMES", FRAMES)
    network = build_model(config(lists, weights, size, *still, "DATA.NUM_FRAMES", 1)).eval()
    normalize = normalizer(cfg, CPU)
    features, labels = [], []
    for item in listed(cfg, split):
        frames = normalize(item.views[None])[0].transpose(0, 1)[:, :, None]  # (T, C, 1, S, S)
        features.append(network.forward_features(frames))
        labels.append(item.label)
    return torch.stack(features), torch.tensor(labels)


def accuracy(
    train: Tensor, labels: Tensor, test: Tensor, answers: Tensor, strength: float
) -> float:
    """Top-1 (%) of logistic regression from (n, D) features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))
    probe.fit(train.numpy(), labels.numpy())
    return 100 * float(probe.score(test.numpy(), answers.numpy()))


def probes(lists: Path, weights: Path, size: int) -> list[dict[str, Any]]:
    (train, labels), (test, answers) = (
        features_of_frames(lists, weights, size, split) for split in ("train", "test")
    )
    ways = {
        "the middle frame": (train[:, FRAMES // 2], test[:, FRAMES // 2]),
        f"the mean of {FRAMES} frames": (train.mean(1), test.mean(1)),
    }
    return [
        {
            "size": size,
            "of": way,
            "num_test_videos": len(answers),
            "top1_acc": {c: accuracy(known, labels, asked, answers, c) for c in STRENGTHS},
        }
        for way, (known, asked) in ways.items()
    ]


@torch.no_grad()
def patches_of_frames(lists: Path, weights: Path, split: str) -> list[Tensor]:
    """Float (n, T, N, D) after each of `BLOCKS`: 16 frames, 3 apart, each seen by itself."""
    dense = ("DATA.SAMPLING", "stride", "DATA.SAMPLING_RATE", 3, "DATA.NUM_FRAMES", 16)
    still = ("TIMESFORMER.ATTENTION_TYPE", "space_only")
    cfg = config(lists, weights, SIZES[0], *still, *dense)
    network = build_model(config(lists, weights, SIZES[0], *still, "DATA.NUM_FRAMES", 1)).eval()
    normalize = normalizer(cfg, CPU)
    seen: list[list[Tensor]] = [[] for _ in BLOCKS]
    for item in listed(cfg, split):
        frames = normalize(item.views[None])[0].transpose(0, 1)[:, :, None]  # (T, C, 1, S, S)
        layers = network.model.forward_intermediates(frames, BLOCKS)
        for videos, layer in zip(seen, layers, strict=True):
            videos.append(layer.patches.flatten(1, 3))
    return [torch.stack(videos) for videos in seen]


def odd_products(components: Tensor) -> Tensor:
    """Of (n, T, N, K) components of patches: what changes its sign when time is reversed, (n, K²).

    The mean product of each component with each other one in the next frame at the same place,
    less that of the next with this; of length 1.
    """
    products = torch.einsum("btni,btnj->bij", components[:, :-1], components[:, 1:])
    return torch.nn.functional.normalize((products - products.mT).flatten(1))


def directions(lists: Path, weights: Path) -> list[dict[str, Any]]:
    """Of how many test videos the direction of time is told."""
    from sklearn.linear_model import LogisticRegression

    known, asked = (patches_of_frames(lists, weights, split) for split in ("train", "test"))
    rows = []
    for block, train, test in zip(BLOCKS, known, asked, strict=True):
        mean = train.mean((0, 1, 2))
        variances, axes = torch.linalg.eigh(torch.cov(train.flatten(0, 2).T))
        whiten = axes[:, -COMPONENTS:] / variances[-COMPONENTS:].sqrt()
        there, here = (odd_products((videos - mean) @ whiten) for videos in (train, test))
        both, forward = torch.cat([there, -there]), torch.arange(2 * len(there)) < len(there)
        right = {}
        for strength in STRENGTHS:
            # Without an intercept a video is told in both directions, or in none.
            probe = LogisticRegression(C=strength, fit_intercept=False, max_iter=5000)
            probe.fit(both.numpy(), forward.numpy())
            right[strength] = 100 * float(probe.predict(here.numpy()).mean())
        rows.append({"after_block": block, "num_test_videos": len(here), "top1_acc": right})
    return rows


@torch.no_grad()
def features_of_clips(clips: Tensor, lists: Path, weights: Path, *changes: object) -> Tensor:
    """Float (n, D) of the divided network, as it starts, on float (n, C, T, S, S) clips."""
    network = build_model(config(lists, weights, SIZES[0], *changes)).eval()
    return torch.as_tensor(network.forward_features(clips))


def changes_by_time(lists: Path, weights: Path, every: int = 4) -> dict[float, float]:
    """By standard deviation of the time embedding: by what share (%) centred features move."""
    cfg = config(lists, weights, SIZES[0])
    videos, normalize = listed(cfg, "test"), normalizer(cfg, CPU)
    some = [videos[i].views[None] for i in range(0, len(videos), every)]
    clips = torch.cat([normalize(views) for views in some])
    before = features_of_clips(clips, lists, weights)  # its time embedding is zero
    lengths = (before - before.mean(0)).norm(dim=1)
    shares = {}
    for std in TIME_EMBED_STDS:
        embedding = ("TIMESFORMER.TIME_EMBED_INIT", "sincos", "TIMESFORMER.TIME_EMBED_STD", std)
        after = features_of_clips(clips, lists, weights, *embedding)
        shares[std] = 100 * ((after - before).norm(dim=1) / lengths).mean().item()
    return shares


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    lists, weights = arguments.lists, arguments.weights
    return {
        "machine": machine.facts(CPU),
        "probes": [row for size in SIZES for row in probes(lists, weights, size)],
        "directions": directions(lists, weights),
        "change_by_time_embed_std": changes_by_time(lists, weights),
    }


def lines(report: dict[str, Any]) -> list[str]:
    of_classes = {f"{row['size']} pixels, {row['of']}": row for row in report["probes"]}
    of_time = {
        f"forward or backward, after block {row['after_block']}": row
        for row in report["directions"]
    }
    said = [
        f"{what}: " + ", ".join(f"{value:.1f} % (C {c:g})" for c, value in row["top1_acc"].items())
        for what, row in (of_classes | of_time).items()
    ]
    changes = report["change_by_time_embed_std"].items()
    return [
        *said,
        "features moved by a time embedding of std "
        + ", ".join(f"{std:g}: {share:.0f} %" for std, share in changes),
    ]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--lists", type=Path, required=True, help="folder of the lists")
    parser.add_argument("--weights", type=Path, required=True, help="a ViT-S/14")
    arguments = parser.parse_args()
    report = measured(arguments)
    print(*lines(report), sep="\n")
    write_json(arguments.output, report)


if __name__ == "__main__":
    main()
