"""Hours of one GPU that a config takes: calculated from multiply-adds, not measured.

A GPU is assumed to reach `UTILISATION` of `PEAK` and never to wait for videos. Validation, which is
a few views, and the optimiser are left out. docs/SCALING.md assumes the same, and says what several
GPUs lose.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from fvcore.common.config import CfgNode

from timesformer.models.build import build_model
from timesformer.models.transformer import VisionTransformer
from timesformer.profiling.flops import (
    BLOCK_WORK,
    grid_of,
    layers_of,
    nominal_flops,
    scheme_of,
)

PEAK = 989e12  # FLOP/s in bf16 of an H100 or H200, by their data sheets
UTILISATION = 0.4  # assumed
FLOPS_OF_A_MULTIPLY_ADD = 2
PASSES_OF_A_STEP = 3  # forward, and twice as much backward

NUM_VIDEOS = {
    ("kinetics", 400): (240_000, 20_000),
    ("kinetics", 600): (392_000, 30_000),
    ("ssv2", 174): (168_913, 24_777),
    ("diving48", 48): (15_027, 1_970),
    ("howto100m", 1059): (85_000, 35_000),
    ("ucf101", 101): (9_537, 3_783),
    ("hmdb51", 51): (3_570, 1_530),
    ("jester", 27): (118_562, 14_787),
}
"""To train and to test on, by registered name and classes: rounded where the paper rounds (appendix
A, section 4.6), else those of the official lists, of UCF101 and HMDB51 the first split."""


class GpuHours(NamedTuple):
    """Of one H100; 0 for what a config does not do."""

    training: float
    testing: float

    def __str__(self) -> str:
        parts = {"to train": self.training, "to test": self.testing}
        done = ", ".join(f"{spelt(value)} {words}" for words, value in parts.items() if value)
        return f"Cost in H100 hours with bf16 (calculated, not measured): {done}"


def gpu_hours(cfg: CfgNode) -> GpuHours | None:
    """What `cfg` takes, layers that are frozen as if they were not.

    None for a model that is no TimeSformer, or a data set that is not in `NUM_VIDEOS`.
    """
    num_videos = NUM_VIDEOS.get((cfg.TRAIN.DATASET, cfg.MODEL.NUM_CLASSES))
    if num_videos is None or cfg.TEST.DATASET != cfg.TRAIN.DATASET:
        return None
    with torch.device("meta"):
        model = build_model(cfg, pretrained=False)
    network = next((part for part in model.modules() if isinstance(part, VisionTransformer)), None)
    if network is None or scheme_of(network) not in BLOCK_WORK:
        return None
    data, test, (to_train, to_test) = cfg.DATA, cfg.TEST, num_videos
    clips = to_train * data.TRAIN_FRACTION * cfg.AUG.NUM_SAMPLE * cfg.SOLVER.MAX_EPOCH
    passes = PASSES_OF_A_STEP + cfg.TIMESFORMER.GRAD_CHECKPOINTING
    views = to_test * test.NUM_ENSEMBLE_VIEWS * test.NUM_SPATIAL_CROPS
    clip = forward_flops(network, data.NUM_FRAMES, data.TRAIN_CROP_SIZE)
    view = forward_flops(network, data.NUM_FRAMES, data.TEST_CROP_SIZE)
    training, testing = cfg.TRAIN.ENABLE * clips * passes * clip, test.ENABLE * views * view
    return GpuHours(hours(training), hours(testing))


def forward_flops(network: VisionTransformer, frames: int, size: int) -> int:
    """Of one clip, every block in full."""
    grid = grid_of(network, (3, frames, size, size))
    return FLOPS_OF_A_MULTIPLY_ADD * nominal_flops(scheme_of(network), grid, layers_of(network))


def hours(flops: float) -> float:
    return flops / (PEAK * UTILISATION) / 3600


def spelt(value: float) -> str:
    """With two digits that count."""
    return f"{float(f'{value:.2g}'):g}"
