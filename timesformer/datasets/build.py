"""From a config to a data set."""

from __future__ import annotations

from functools import partial

from fvcore.common.config import CfgNode

from timesformer.annotations.table import VideoList
from timesformer.datasets.lists import DATASET_REGISTRY, SEGMENTED, read_list
from timesformer.datasets.sampling import FrameSampling, Segmented, Strided, Uniform
from timesformer.datasets.sources import open_video
from timesformer.datasets.transforms import TrainTransform, ViewTransform
from timesformer.datasets.video import EvaluationViews, TrainingClips, VideoDataset

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
    source = partial(open_video, frames_fps=cfg.DATA.FRAMES_FPS)
    sampling = frame_sampling(name, cfg)
    if split == "train":
        return TrainingClips(videos, source, sampling, train_transform(cfg), seed=cfg.RNG_SEED)
    if split == "val":
        return EvaluationViews(
            videos, source, sampling, view_transform(cfg, num_crops=1), num_clips=0
        )
    transform = view_transform(cfg, num_crops=cfg.TEST.NUM_SPATIAL_CROPS)
    return EvaluationViews(
        videos, source, sampling, transform, num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS
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


def train_transform(cfg: CfgNode) -> TrainTransform:
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
