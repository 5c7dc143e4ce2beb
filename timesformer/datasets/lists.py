"""The registered data sets: from a config to the list of a split's videos.

A data set is a function of the config and the split that returns a `VideoList`; how clips are cut,
decoded and augmented is the same for all. To add your own, register one:

    @DATASET_REGISTRY.register("mine")
    def mine(cfg, split):
        return VideoList(paths, labels, source="where they come from")

Each reader of a published format is imported when its data set is asked for: a run needs one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fvcore.common.config import CfgNode

from timesformer.annotations.csv_list import is_own_list, read_video_list
from timesformer.annotations.shards import has_index, read_shards
from timesformer.annotations.subset import (
    check_first_exists,
    forward_and_backward,
    fraction_of_each_class,
    missing,
)
from timesformer.annotations.table import SPLITS, VideoList
from timesformer.errors import UserError
from timesformer.registry import Registry

log = logging.getLogger("timesformer")

# Data sets whose clips are a frame of each segment, as the released code has it, and whose test
# labels were not published with them: papers report on the validation list.
SEGMENTED = TESTED_ON_VAL = ("ssv2", "ssv1", "jester")

# Data sets with classes such as "left to right", of which a mirrored video shows the opposite.
DIRECTED = ("ssv2", "ssv1", "jester", "motion_shapes")

# Data sets with lists of their own kind. Where a list of this framework lies in their place, as
# tools/prepare_dataset.py writes it, that is read, and everything else stays as for the data set.
REPLACED_BY_LISTS = ("ssv2", "ssv1", "jester", "diving48", "ucf101", "hmdb51", "shards")

DATASET_REGISTRY: Registry[Callable[[CfgNode, str], VideoList]] = Registry("data set")


def read_list(name: str, cfg: CfgNode, split: str) -> VideoList:
    """The samples of a split that a run uses: its videos, or both directions of each.

    Raises:
        UserError: unknown name or split, or lists that are missing or malformed.
    """
    if not cfg.DATA.ARROW_OF_TIME:
        return chosen_videos(name, cfg, split)
    of_any_classes = cfg.clone()
    of_any_classes.defrost()
    of_any_classes.MODEL.NUM_CLASSES = None
    return with_classes(forward_and_backward(chosen_videos(name, of_any_classes, split)), cfg)


def chosen_videos(name: str, cfg: CfgNode, split: str) -> VideoList:
    """The videos of a split: listed, there, and of the fraction asked for; raises as above."""
    if split not in SPLITS:
        raise UserError(f"'{split}' is not a split; known: {', '.join(SPLITS)}")
    listed = test_list(name, cfg) if split == "test" else split
    videos = reader_of(name, cfg, listed)(cfg, listed)
    if cfg.DATA.SKIP_MISSING:
        videos = without_missing(videos, report=Path(cfg.OUTPUT_DIR) / f"missing_{split}.txt")
    else:
        check_first_exists(videos)
    if split == "train" and cfg.DATA.TRAIN_FRACTION < 1:
        videos = fraction_of_each_class(videos, cfg.DATA.TRAIN_FRACTION, seed=cfg.DATA.SPLIT_SEED)
    return videos


def reader_of(name: str, cfg: CfgNode, split: str) -> Callable[[CfgNode, str], VideoList]:
    """What reads the data set `name`: its own reader, unless it was made into another form."""
    read = DATASET_REGISTRY.get(name)
    folder = cfg.DATA.PATH_TO_DATA_DIR
    if has_index(folder, split):
        return shards
    if name in REPLACED_BY_LISTS and is_own_list(os.path.join(folder, f"{split}.csv")):
        return video_csv
    return read


def test_list(name: str, cfg: CfgNode) -> str:
    """The published list that a test of the data set `name` reads: val or test."""
    if cfg.DATA.TEST_SPLIT == "auto":
        return "val" if name in TESTED_ON_VAL else "test"
    return str(cfg.DATA.TEST_SPLIT)


def without_missing(videos: VideoList, *, report: Path) -> VideoList:
    """The videos that exist; the others are counted in the log and listed in the file `report`.

    Raises:
        UserError: none exists.
    """
    absent = np.fromiter(missing(videos), dtype=np.int64)
    if len(absent) == len(videos):
        check_first_exists(videos)
    if not len(absent):
        return videos
    report.parent.mkdir(parents=True, exist_ok=True)
    names = "".join(f"{videos.paths[int(index)]}\n" for index in absent)
    report.write_text(names, encoding="utf-8", errors="surrogateescape")
    log.warning(
        "%d of %d videos of %s do not exist and are left out; they are listed in %s",
        len(absent),
        len(videos),
        videos.source,
        report,
    )
    return videos.select(np.setdiff1d(np.arange(len(videos)), absent))


@DATASET_REGISTRY.register("video_csv")
def video_csv(cfg: CfgNode, split: str) -> VideoList:
    """Videos listed in PATH_TO_DATA_DIR/{train,val,test}.csv."""
    return read_video_list(
        os.path.join(data_folder(cfg), f"{split}.csv"),
        path_prefix=cfg.DATA.PATH_PREFIX,
        num_classes=cfg.MODEL.NUM_CLASSES,
    )


@DATASET_REGISTRY.register("kinetics")
def kinetics(cfg: CfgNode, split: str) -> VideoList:
    """Kinetics-400, 600 or 700, by its official lists or by lists of this framework."""
    from timesformer.annotations.kinetics import read_kinetics

    return read_kinetics(
        data_folder(cfg),
        split,
        path_prefix=cfg.DATA.PATH_PREFIX,
        num_classes=cfg.MODEL.NUM_CLASSES,
    )


@DATASET_REGISTRY.register("howto100m")
def howto100m(cfg: CfgNode, split: str) -> VideoList:
    """HowTo100M with its tasks as classes: train.csv and test.csv, paths or ids."""
    from timesformer.annotations.kinetics import read_named_list

    return read_named_list(
        os.path.join(data_folder(cfg), "train.csv" if split == "train" else "test.csv"),
        path_prefix=cfg.DATA.PATH_PREFIX,
        num_classes=cfg.MODEL.NUM_CLASSES,
    )


@DATASET_REGISTRY.register("ssv2")
def ssv2(cfg: CfgNode, split: str) -> VideoList:
    """Something-Something V2."""
    from timesformer.annotations.something import read_something

    videos = read_something(
        data_folder(cfg),
        split,
        path_prefix=cfg.DATA.PATH_PREFIX,
        skip_missing=cfg.DATA.SKIP_MISSING,
    )
    return with_classes(videos, cfg)


@DATASET_REGISTRY.register("jester", "ssv1")
def jester(cfg: CfgNode, split: str) -> VideoList:
    """20BN-Jester, or Something-Something V1, whose lists look the same."""
    from timesformer.annotations.jester import read_jester

    videos = read_jester(data_folder(cfg), split, path_prefix=cfg.DATA.PATH_PREFIX)
    return with_classes(videos, cfg)


@DATASET_REGISTRY.register("diving48")
def diving48(cfg: CfgNode, split: str) -> VideoList:
    """Diving48, version 2."""
    from timesformer.annotations.diving48 import read_diving48

    videos = read_diving48(data_folder(cfg), split, path_prefix=cfg.DATA.PATH_PREFIX)
    return with_classes(videos, cfg)


@DATASET_REGISTRY.register("ucf101")
def ucf101(cfg: CfgNode, split: str) -> VideoList:
    """Split DATA.SPLIT of UCF101."""
    from timesformer.annotations.ucf101 import read_ucf101

    videos = read_ucf101(
        data_folder(cfg), split, number=cfg.DATA.SPLIT, path_prefix=cfg.DATA.PATH_PREFIX
    )
    return with_classes(videos, cfg)


@DATASET_REGISTRY.register("hmdb51")
def hmdb51(cfg: CfgNode, split: str) -> VideoList:
    """Split DATA.SPLIT of HMDB51."""
    from timesformer.annotations.hmdb51 import read_hmdb51

    videos = read_hmdb51(
        data_folder(cfg), split, number=cfg.DATA.SPLIT, path_prefix=cfg.DATA.PATH_PREFIX
    )
    return with_classes(videos, cfg)


@DATASET_REGISTRY.register("folder")
def folder(cfg: CfgNode, split: str) -> VideoList:
    """Your own videos: PATH_TO_DATA_DIR holds class folders, or files named by their class."""
    from timesformer.annotations.folders import read_folder

    return read_folder(
        data_folder(cfg),
        split,
        class_pattern=cfg.DATA.CLASS_PATTERN,
        group_pattern=cfg.DATA.GROUP_PATTERN,
        fractions=cfg.DATA.SPLIT_FRACTIONS,
        seed=cfg.DATA.SPLIT_SEED,
        num_classes=cfg.MODEL.NUM_CLASSES,
    )


@DATASET_REGISTRY.register("shards")
def shards(cfg: CfgNode, split: str) -> VideoList:
    """Tar files made by tools/make_shards.py; PATH_TO_DATA_DIR is a folder or an address."""
    folder = cfg.DATA.PATH_TO_DATA_DIR
    return read_shards(folder, split, num_classes=cfg.MODEL.NUM_CLASSES)


@DATASET_REGISTRY.register("motion_shapes")
def motion_shapes(cfg: CfgNode, split: str) -> VideoList:
    """The embedded data set, made in PATH_TO_DATA_DIR when it is not there yet."""
    return made_here("direction", cfg, split)


@DATASET_REGISTRY.register("motion_shapes_appearance")
def motion_shapes_appearance(cfg: CfgNode, split: str) -> VideoList:
    """The same with classes that any single frame tells."""
    return made_here("appearance", cfg, split)


@DATASET_REGISTRY.register("motion_shapes_order")
def motion_shapes_order(cfg: CfgNode, split: str) -> VideoList:
    """The same with classes that only the order of events in a long video tells."""
    return made_here("order", cfg, split)


def made_here(task: str, cfg: CfgNode, split: str) -> VideoList:
    """A split of MotionShapes with that task."""
    from timesformer.datasets.motion_shapes import ensure_motion_shapes

    ensure_motion_shapes(cfg.DATA.PATH_TO_DATA_DIR, task=task)
    return video_csv(cfg, split)


def with_classes(videos: VideoList, cfg: CfgNode) -> VideoList:
    """`videos`; UserError if the data set has another number of classes than the config.

    Where that is None, as in tools that train nothing, any number will do.
    """
    if cfg.MODEL.NUM_CLASSES not in (None, len(videos.class_names)):
        raise UserError(
            f"{videos.source} is of a data set with {len(videos.class_names)} classes, but "
            f"MODEL.NUM_CLASSES is {cfg.MODEL.NUM_CLASSES}; set MODEL.NUM_CLASSES "
            f"{len(videos.class_names)}"
        )
    return videos


def data_folder(cfg: CfgNode) -> str:
    """DATA.PATH_TO_DATA_DIR; UserError if it is no folder."""
    folder = str(cfg.DATA.PATH_TO_DATA_DIR)
    if not os.path.isdir(folder):
        raise UserError(
            f"DATA.PATH_TO_DATA_DIR is '{folder}', which is not a folder; set it to the one that "
            "holds the lists of the data set (see DATASET.md)"
        )
    return folder
