"""Videos that the page offers to begin with."""

from __future__ import annotations

import logging
import os
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from fvcore.common.config import CfgNode

from timesformer.datasets.lists import read_list
from timesformer.datasets.sources import open_video
from timesformer.errors import UserError
from timesformer.synthetic.tasks import TASKS, Task
from timesformer.visualization.files import write_film
from timesformer.writers.names import printable

log = logging.getLogger("timesformer")

NUM_SAMPLES = 4
PLAYABLE = (".mp4", ".webm")
MAX_FRAMES = 300  # of a sample that is written for the page
SEED = 7  # not that of the usual data set, on which the model may have been trained


def samples(cfg: CfgNode, class_names: tuple[str, ...], folder: Path) -> list[str]:
    """New MotionShapes in `folder` for a model of their classes; else videos of the test list.

    None where that cannot be read here.
    """
    for task in TASKS.values():
        if class_names == task.classes:
            return motion_shapes(task, folder)
    try:
        videos = read_list(cfg.TEST.DATASET, cfg, "test")
    except UserError as error:
        log.info("the page has no samples: %s", error)
        return []
    first_of_each_class = np.sort(np.unique(videos.labels, return_index=True)[1])
    offered = []
    for number, index in enumerate(first_of_each_class[:NUM_SAMPLES], start=1):
        path = videos.paths[int(index)]
        made = folder / printable(f"{number}_{Path(path).stem}.mp4")
        if shown := playable(path, made):
            offered.append(shown)
    return offered


def playable(path: str, made: Path) -> str | None:
    """The video, or its beginning as `made` where browsers do not play its kind; None for none.

    What the list names may be a folder of frames, a part of a tar file, or an address.
    """
    if path.lower().endswith(PLAYABLE) and os.path.isfile(path) and path == printable(path):
        return path
    try:
        with open_video(path, decoder="pyav", frames_fps=30) as reader:
            frames = (even(picture) for picture, _ in reader.pictures(0, MAX_FRAMES))
            write_film(
                made, islice(frames, MAX_FRAMES), Fraction(reader.fps).limit_denominator(1001)
            )
    except UserError as error:
        log.info("%s is no sample: %s", path, error)
        return None
    return str(made)


def even(picture: np.ndarray) -> np.ndarray:
    """Without the last row or column of an odd number."""
    return picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]


def motion_shapes(task: Task, folder: Path) -> list[str]:
    """One of each class."""
    paths = [folder / f"{name}.mp4" for name in task.classes]
    for index, path in enumerate(paths):
        task.write(path, SEED, "test", index)
    return [str(path) for path in paths]
