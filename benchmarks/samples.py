"""Whole samples: what a worker process does for a training clip and for a test video."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks import released
from benchmarks.ways import CLIP_FRAMES, STEP, TARGET_FPS, Clips, Way
from timesformer.config import load_config
from timesformer.datasets import build_dataset
from timesformer.datasets.sampler import Request
from timesformer.datasets.video import VideoDataset

JITTER, CROP = (256, 320), 224


def sample_ways(clips: Clips, folder: Path) -> dict[str, dict[str, Way]]:
    """For a training clip and for a test video of three crops: ours, and the released procedure."""
    ours = {split: _data_set(clips.path, split, folder) for split in ("train", "test")}
    return {
        "training sample": {
            "ours": lambda n: ours["train"][Request(0, epoch=n)],
            "released code, as written": lambda n: _released_training(clips, n, None),
            "released code, one thread": lambda n: _released_training(clips, n, 1),
        },
        "test sample, 3 views": {
            "ours": lambda n: ours["test"][0],
            "released code, as written": lambda n: _released_test(clips, None),
            "released code, one thread": lambda n: _released_test(clips, 1),
        },
    }


def _data_set(path: str, split: str, folder: Path) -> VideoDataset:
    (folder / f"{split}.csv").write_text(f"{Path(path).resolve()} 0\n", encoding="utf-8")
    settings = {
        "DATA.PATH_TO_DATA_DIR": str(folder),
        "DATA.NUM_FRAMES": CLIP_FRAMES,
        "DATA.SAMPLING_RATE": STEP,
        "DATA.TARGET_FPS": TARGET_FPS,
        "DATA.TRAIN_JITTER_SCALES": list(JITTER),
        "DATA.TRAIN_CROP_SIZE": CROP,
        "DATA.TEST_CROP_SIZE": CROP,
        "TEST.NUM_ENSEMBLE_VIEWS": 1,
        "TEST.NUM_SPATIAL_CROPS": 3,
        "MODEL.NUM_CLASSES": 2,
    }
    cfg = load_config(None, [item for pair in settings.items() for item in pair])
    return build_dataset("kinetics", cfg, split)


def _released_training(clips: Clips, number: int, threads: int | None) -> torch.Tensor:
    start = clips.starts[number]
    clip = released.read_clip(clips.path, start, clips.span, CLIP_FRAMES, threads=threads)
    return released.training_sample(clip, sum(JITTER) // 2, CROP)


def _released_test(clips: Clips, threads: int | None) -> list[torch.Tensor]:
    return [
        released.test_view(
            released.read_clip(clips.path, 0.0, clips.span, CLIP_FRAMES, threads=threads),
            CROP,
            place,
        )
        for place in range(3)
    ]
