"""From a config to a data set, and to what becomes of its batches on the device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from fvcore.common.config import CfgNode

from timesformer.annotations.table import VideoList
from timesformer.datasets.auto_augment import parse
from timesformer.datasets.batch import Batch
from timesformer.datasets.lists import DATASET_REGISTRY, DIRECTED, SEGMENTED, read_list
from timesformer.datasets.on_device import Mixup, Normalizer, RandomErasing, TrainInput
from timesformer.datasets.sampling import FrameSampling, Segmented, Strided, Uniform
from timesformer.datasets.sources import open_video
from timesformer.datasets.transforms import (
    ClipTransform,
    RandomResizedCrop,
    TrainTransform,
    ViewTransform,
)
from timesformer.datasets.video import EvaluationViews, TrainingClips, VideoDataset
from timesformer.errors import UserError

__all__ = ["DATASET_REGISTRY", "build_dataset", "read_list"]


def build_dataset(name: str, cfg: CfgNode, split: str) -> VideoDataset:
    """The data set registered as `name`.

    Args:
        name: a name of `DATASET_REGISTRY`.
        cfg: reads DATA, MODEL.NUM_CLASSES, TEST's views and RNG_SEED.
        split: ``train`` (random clips), ``val`` (one centre view) or ``test``
            (TEST.NUM_ENSEMBLE_VIEWS x TEST.NUM_SPATIAL_CROPS views).

    Returns:
        A map-style data set of `Item`: uint8 views (V, C, T, S, S), label, index.

    Raises:
        UserError: unknown name or split, or lists that are missing or malformed.
    """
    return video_dataset(name, cfg, split, read_list(name, cfg, split))


def video_dataset(name: str, cfg: CfgNode, split: str, videos: VideoList) -> VideoDataset:
    """The views of `videos` as the config wants them for a split of the data set `name`."""
    source = partial(open_video, decoder=cfg.DATA.DECODER, frames_fps=cfg.DATA.FRAMES_FPS)
    sampling = frame_sampling(name, cfg)
    if split == "train":
        _refuse_flip(name, cfg)
        return TrainingClips(
            videos,
            source,
            sampling,
            train_transform(cfg),
            seed=cfg.RNG_SEED,
            num_samples=cfg.AUG.NUM_SAMPLE,
        )
    if split == "val":
        return EvaluationViews(
            videos, source, sampling, view_transform(cfg, num_crops=1), num_clips=0
        )
    transform = view_transform(cfg, num_crops=cfg.TEST.NUM_SPATIAL_CROPS)
    return EvaluationViews(
        videos, source, sampling, transform, num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS
    )


def _refuse_flip(name: str, cfg: CfgNode) -> None:
    if name in DIRECTED and cfg.DATA.RANDOM_FLIP:
        raise UserError(
            f"DATA.RANDOM_FLIP must be False on {name}: a mirrored 'to left' is a 'to right'."
        )


def frame_sampling(name: str, cfg: CfgNode) -> FrameSampling:
    """How clips are cut out of the videos of the data set `name`."""
    method = cfg.DATA.SAMPLING
    if method == "auto":
        method = "segments" if name in SEGMENTED else "stride"
    if method == "segments":
        return Segmented(num_frames=cfg.DATA.NUM_FRAMES)
    if method == "uniform":
        return Uniform(num_frames=cfg.DATA.NUM_FRAMES)
    return Strided(
        num_frames=cfg.DATA.NUM_FRAMES,
        sampling_rate=cfg.DATA.SAMPLING_RATE,
        target_fps=cfg.DATA.TARGET_FPS,
        spread=cfg.TEST.SPREAD_VIEWS,
    )


def train_transform(cfg: CfgNode) -> ClipTransform:
    """A random part of the frame where the two ..._RELATIVE keys are set, else a random scale."""
    if cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE:
        smallest, largest = cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE
        narrowest, widest = cfg.DATA.TRAIN_JITTER_ASPECT_RELATIVE
        return RandomResizedCrop(
            areas=(smallest, largest),
            aspects=(narrowest, widest),
            crop_size=cfg.DATA.TRAIN_CROP_SIZE,
            flip=cfg.DATA.RANDOM_FLIP,
        )
    low, high = cfg.DATA.TRAIN_JITTER_SCALES
    return TrainTransform(
        jitter_scales=(low, high),
        crop_size=cfg.DATA.TRAIN_CROP_SIZE,
        flip=cfg.DATA.RANDOM_FLIP,
        inverse_uniform=cfg.DATA.INV_UNIFORM_SAMPLE,
    )


def view_transform(cfg: CfgNode, *, num_crops: int) -> ViewTransform:
    """Three crops are cut at short side TEST_CROP_SIZE, a single one at TRAIN_JITTER_SCALES[0]."""
    short_side = cfg.DATA.TEST_CROP_SIZE if num_crops == 3 else cfg.DATA.TRAIN_JITTER_SCALES[0]
    return ViewTransform(
        short_side=short_side, crop_size=cfg.DATA.TEST_CROP_SIZE, num_crops=num_crops
    )


def train_input(cfg: CfgNode, device: torch.device) -> TrainInput:
    """What becomes of a training batch once it is on `device`."""
    erase = RandomErasing(prob=cfg.AUG.RE_PROB, mode=cfg.AUG.RE_MODE, max_count=cfg.AUG.RE_COUNT)
    mixup = Mixup(
        num_classes=cfg.MODEL.NUM_CLASSES,
        alpha=cfg.MIXUP.ALPHA,
        cutmix_alpha=cfg.MIXUP.CUTMIX_ALPHA,
        prob=cfg.MIXUP.PROB,
        switch_prob=cfg.MIXUP.SWITCH_PROB,
    )
    return TrainInput(
        augmentation(cfg),
        normalizer(cfg, device),
        erase if cfg.AUG.RE_PROB else None,
        mixup if cfg.MIXUP.ENABLED else None,
    )


def normalizer(cfg: CfgNode, device: torch.device) -> Normalizer:
    return Normalizer(
        mean=cfg.DATA.MEAN, std=cfg.DATA.STD, bgr=cfg.DATA.REVERSE_INPUT_CHANNEL, device=device
    )


def augmentation(cfg: CfgNode) -> Callable[[Batch], Batch] | None:
    """The `Augment` of AUG.AA_TYPE or AUG.COLOR_JITTER; None where both are off."""
    if not (cfg.AUG.AA_TYPE or cfg.AUG.COLOR_JITTER):
        return None
    # torchvision, which does the arithmetic, takes seconds to import.
    from timesformer.datasets.augment import Augment, ColorJitter

    kind = parse(cfg.AUG.AA_TYPE) if cfg.AUG.AA_TYPE else ColorJitter(cfg.AUG.COLOR_JITTER)
    # Of RGB frames, while the means are those of what the model sees.
    mean = cfg.DATA.MEAN[::-1] if cfg.DATA.REVERSE_INPUT_CHANNEL else cfg.DATA.MEAN
    return Augment(kind.draw, fill=[min(max(round(255 * each), 0), 255) for each in mean])
