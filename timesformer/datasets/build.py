"""From a config to a data set."""

from __future__ import annotations

import os
from collections.abc import Callable

from fvcore.common.config import CfgNode

from timesformer.datasets.annotations import check_first_exists, read_video_list
from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.datasets.transforms import TrainTransform, ViewTransform
from timesformer.datasets.video import ClipShape, EvaluationViews, TrainingClips, VideoDataset
from timesformer.errors import UserError
from timesformer.registry import Registry

SPLITS = ("train", "val", "test")

DATASET_REGISTRY: Registry[Callable[[CfgNode, str], VideoDataset]] = Registry("data set")


def build_dataset(name: str, cfg: CfgNode, split: str) -> VideoDataset:
    """The data set registered as `name`.

    Args:
        name: a name of `DATASET_REGISTRY`.
        cfg: reads DATA, MODEL.NUM_CLASSES, TEST's views and RNG_SEED.
        split: ``train`` (one random clip an item), ``val`` (one centre view) or ``test``
            (TEST.NUM_ENSEMBLE_VIEWS x TEST.NUM_SPATIAL_CROPS views).

    Returns:
        A map-style data set of `Item`: uint8 views (V, C, T, S, S), label, index.

    Raises:
        UserError: unknown name or split, or lists that are missing or malformed.
    """
    if split not in SPLITS:
        raise UserError(f"'{split}' is not a split; known: {', '.join(SPLITS)}")
    return DATASET_REGISTRY.get(name)(cfg, split)


@DATASET_REGISTRY.register("kinetics", "video_csv")
def video_csv(cfg: CfgNode, split: str) -> VideoDataset:
    """Video files listed in PATH_TO_DATA_DIR/{train,val,test}.csv, lines ``path label``."""
    folder = cfg.DATA.PATH_TO_DATA_DIR
    if not os.path.isdir(folder):
        raise UserError(
            f"DATA.PATH_TO_DATA_DIR is '{folder}', which is not a folder; set it to the one that "
            "holds train.csv, val.csv and test.csv (see DATASET.md)"
        )
    videos = read_video_list(
        os.path.join(folder, f"{split}.csv"),
        path_prefix=cfg.DATA.PATH_PREFIX,
        num_classes=cfg.MODEL.NUM_CLASSES,
    )
    check_first_exists(videos)
    clip = ClipShape(
        num_frames=cfg.DATA.NUM_FRAMES,
        sampling_rate=cfg.DATA.SAMPLING_RATE,
        target_fps=cfg.DATA.TARGET_FPS,
    )
    if split == "train":
        return TrainingClips(videos, clip, train_transform(cfg), seed=cfg.RNG_SEED)
    if split == "val":
        return EvaluationViews(videos, clip, view_transform(cfg, num_crops=1), num_clips=0)
    transform = view_transform(cfg, num_crops=cfg.TEST.NUM_SPATIAL_CROPS)
    return EvaluationViews(videos, clip, transform, num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS)


@DATASET_REGISTRY.register("motion_shapes")
def motion_shapes(cfg: CfgNode, split: str) -> VideoDataset:
    """The embedded data set, made in PATH_TO_DATA_DIR when it is not there yet."""
    if cfg.DATA.RANDOM_FLIP:
        raise UserError(
            "DATA.RANDOM_FLIP must be False on MotionShapes: a mirrored 'left' is a 'right'"
        )
    ensure_motion_shapes(cfg.DATA.PATH_TO_DATA_DIR)
    return video_csv(cfg, split)


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
