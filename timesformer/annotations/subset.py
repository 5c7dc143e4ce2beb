"""What is made of a list: those that exist, a share of each class, both directions of time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from timesformer.annotations.places import exists
from timesformer.annotations.table import VideoList
from timesformer.errors import UserError

_NUM_PROBED = 10
DIRECTIONS = ("forward", "backward")


def fraction_of_each_class(videos: VideoList, fraction: float, *, seed: int) -> VideoList:
    """`fraction` of the videos of each class (rounded up), in the order of the list.

    Each class has one shuffled order for a seed, of which a fraction takes the beginning: so the
    videos of a smaller fraction are among those of a larger one.
    """
    chosen = []
    for label in np.unique(videos.labels):
        members = np.flatnonzero(videos.labels == label)
        order = np.random.default_rng([seed, int(label)]).permutation(members)
        # 0.07 * 100 is a little more than 7, and not 8.
        chosen.append(order[: math.ceil(fraction * len(members) - 1e-9)])
    return videos.select(np.sort(np.concatenate(chosen)))


def forward_and_backward(videos: VideoList) -> VideoList:
    """Each video twice in a row, played forward and backward, which are now the classes."""
    backward = np.tile([False, True], len(videos))
    return replace(
        videos.select(np.arange(len(videos)).repeat(2)),
        labels=backward.astype(np.int64),
        source=f"{videos.source}, forward and backward (DATA.ARROW_OF_TIME),",
        class_names=DIRECTIONS,
        backward=backward,
    )


def first_exist(videos: VideoList) -> bool:
    """Whether any of the first ten videos exists."""
    return any(exists(path) for path in videos.paths[:_NUM_PROBED])


def check_first_exists(videos: VideoList) -> None:
    """Raise UserError if none of the first ten videos exists: the mark of a wrong folder."""
    if not first_exist(videos):
        probed = videos.paths[:_NUM_PROBED]
        raise UserError(
            f"None of the first {len(probed)} videos of {videos.source} exists; the first is "
            f"'{probed[0]}'. Set DATA.PATH_PREFIX to the folder that the paths in the list start "
            "from (empty: the folder of the list)."
        )


def missing(videos: VideoList) -> Iterator[int]:
    """The indices of the videos that do not exist."""
    return (index for index, path in enumerate(videos.paths) if not exists(path))
