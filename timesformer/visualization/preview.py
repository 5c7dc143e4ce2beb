"""What the network really sees of a data set: its own inputs, turned back into pictures.

C channels, T frames, H W pixels, V views of a video.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from timesformer.checkpoints.atomic import writing
from timesformer.datasets.batch import Item, collate
from timesformer.datasets.build import build_dataset, train_input
from timesformer.datasets.on_device import Normalizer
from timesformer.datasets.sampler import Request, TrainSampler
from timesformer.datasets.video import EvaluationViews, VideoDataset
from timesformer.errors import UserError
from timesformer.visualization.contact_sheet import Strip, evenly_spaced, save_html, save_png
from timesformer.visualization.files import named

log = logging.getLogger("timesformer")

CPU = torch.device("cpu")


def preview(cfg: CfgNode, split: str, *, num_videos: int, epoch: int, out: Path) -> list[Path]:
    """Write `out`.png and `out`.html with the clips of `num_videos` videos of a split.

    For ``train`` they are the first of the epoch `epoch` (from 0), by the objects and the seeds of
    training: sampled, cropped, augmented and erased as there; mixed with each other, where a larger
    batch would mix other pairs. For ``val`` and ``test`` they are all views of videos spread over
    the list.

    Raises:
        UserError: the data set cannot be built, one of the videos cannot be read, or `out` cannot
            be written.
    """
    picture, page = named(out, ".png", ".html")
    name = cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET
    dataset = build_dataset(name, cfg, split)
    if isinstance(dataset, EvaluationViews):
        strips = list(evaluation_strips(cfg, dataset, num_videos))
    else:
        strips = list(training_strips(cfg, dataset, num_videos, epoch))
    with writing(picture) as file:
        save_png(file, strips)
    with writing(page) as file:
        save_html(file, strips, title=f"{name}, {split}", note=describe(cfg, dataset))
    return [picture, page]


def training_strips(
    cfg: CfgNode, dataset: VideoDataset, num_videos: int, epoch: int
) -> Iterator[Strip]:
    """The clips of the first videos of an epoch."""
    num_videos = min(num_videos, len(dataset))
    sampler = TrainSampler(
        num_samples=len(dataset),
        global_batch=num_videos,
        per_pass=num_videos,
        seed=cfg.RNG_SEED,
        balance=dataset.videos.labels if cfg.DATA.CLASS_BALANCED else None,
    )
    sampler.epoch = epoch
    batch = collate([readable(dataset, request) for request in next(iter(sampler))])
    prepare = train_input(cfg, CPU)
    if prepare.augment is not None:
        batch = prepare.augment(batch)
    clips, targets = prepare(batch, random.Random(cfg.RNG_SEED))
    indices = batch.indices.repeat_interleave(batch.views.shape[1])
    for clip, target, index in zip(clips, targets, indices.tolist(), strict=True):
        caption = f"{words(target, dataset)}   {Path(dataset.videos.paths[index]).name}"
        yield Strip(caption, pictures(clip, prepare.normalize))


def evaluation_strips(cfg: CfgNode, dataset: EvaluationViews, num_videos: int) -> Iterator[Strip]:
    """All views of videos at even distances in the list."""
    normalize = train_input(cfg, CPU).normalize
    crops = dataset.transform.num_crops
    for index in evenly_spaced(len(dataset), num_videos):
        item = readable(dataset, Request(index))
        for view, clip in enumerate(normalize(collate([item]).views)):
            place = f"clip {view // crops + 1}, crop {view % crops + 1}"
            label = dataset.videos.name_of(item.label)
            caption = f"{label}   {place}   {Path(dataset.videos.paths[index]).name}"
            yield Strip(caption, pictures(clip, normalize))


def readable(dataset: VideoDataset, request: Request) -> Item:
    """The item; UserError if its video cannot be read."""
    item = dataset[request]
    if item.views is None:
        failure = item.failures[-1]
        raise UserError(f"the video '{failure.path}' cannot be read: {failure.reason}")
    return item


def words(target: Tensor, dataset: VideoDataset) -> str:
    """The name of a class, or the names and shares of a mixture.

    Args:
        target: int64 (), a label; or float (K,), the share of each class.
    """
    if target.ndim == 0:
        return dataset.videos.name_of(int(target))
    if target.count_nonzero() == 1:
        return dataset.videos.name_of(int(target.argmax()))
    shares = sorted(((share, k) for k, share in enumerate(target.tolist()) if share), reverse=True)
    return " + ".join(f"{100 * share:.0f} % {dataset.videos.name_of(k)}" for share, k in shares)


def pictures(clip: Tensor, normalize: Normalizer) -> np.ndarray:
    """uint8 RGB (T, H, W, 3) from a clip (C, T, H, W) as the network takes it."""
    return normalize.invert(clip).permute(1, 2, 3, 0).numpy()


def describe(cfg: CfgNode, dataset: VideoDataset) -> str:
    """What made the clips, a line each."""
    data = cfg.DATA
    lines = [
        f"{len(dataset)} videos of {cfg.MODEL.NUM_CLASSES} classes, from {dataset.videos.source}",
        f"{data.NUM_FRAMES} frames; sampling {data.SAMPLING}, rate {data.SAMPLING_RATE} at "
        f"{data.TARGET_FPS:g} frames per second",
    ]
    if data.REVERSE_INPUT_CHANNEL:
        lines.append("The network is given BGR (DATA.REVERSE_INPUT_CHANNEL); shown is RGB.")
    return "\n".join(lines)
