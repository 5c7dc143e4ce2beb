"""Runs that have tested, written as a test writes them, with answers that are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from timesformer.config import dump, load_config
from timesformer.evaluation.results import write_failures, write_predictions


def made_run(
    folder: Path,
    *,
    num_classes: int = 4,
    num_videos: int = 60,
    clips: int = 2,
    crops: int = 3,
    skill: float = 2.0,
    failed: Sequence[int] = (),
    names: Sequence[str] = (),
    videos: Sequence[str] = (),
    seed: int = 0,
    changes: Sequence[Any] = (),
) -> Path:
    """Write the files of a test into `folder`: logits of noise, and `skill` more of the right one.

    The labels are 0, 1, ... over and over, of the same videos whatever the seed.
    """
    random = np.random.default_rng(seed)
    labels = np.arange(num_videos) % num_classes
    logits = random.normal(size=(num_videos, clips * crops, num_classes))
    logits += random.normal(size=(num_videos, 1, num_classes))
    logits[np.arange(num_videos), :, labels] += skill
    answers = logits.argmax(axis=2)
    logits[list(failed)], answers[list(failed)] = np.nan, -1
    videos = list(videos) or [f"videos/{i:05d}.mp4" for i in range(num_videos)]
    write_predictions(
        folder / "predictions.npz",
        videos=videos,
        spans=None,
        labels=torch.from_numpy(labels),
        scores=torch.from_numpy(logits.sum(axis=1).astype(np.float32)),
        view_predictions=torch.from_numpy(answers),
        class_names=list(names) or [f"class {i}" for i in range(num_classes)],
    )
    write_failures(folder / "failed_videos.csv", [(videos[i], "no frames") for i in failed])
    views = ["TEST.NUM_ENSEMBLE_VIEWS", clips, "TEST.NUM_SPATIAL_CROPS", crops]
    cfg = load_config(None, [*views, "MODEL.NUM_CLASSES", num_classes, *changes])
    dump(cfg, folder / "config.yaml")
    return folder


def write_history(folder: Path, num_epochs: int = 3, loss: float = 2.0) -> None:
    """A ``metrics.jsonl`` of a whole training, two log lines in an epoch."""
    lines = []
    for epoch in range(1, num_epochs + 1):
        place = {"epoch": f"{epoch}/{num_epochs}"}
        for i in (1, 2):
            values = {"loss": loss / epoch, "lr": 0.1 / epoch, "iter": f"{i}/2"}
            lines.append({"_type": "train_iter", "step": 2 * epoch - 2 + i, **place, **values})
        values = {"loss": loss / epoch, "top1_err": 90 / epoch}
        lines.append({"_type": "train_epoch", "step": epoch, **place, **values})
        lines.append({"_type": "val_epoch", "step": epoch, **place, "top1_err": 80 / epoch})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
