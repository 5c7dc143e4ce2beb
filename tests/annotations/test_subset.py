"""What is made of a list: fractions of each class, those that exist, both directions."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from timesformer.annotations.subset import (
    check_first_exists,
    forward_and_backward,
    fraction_of_each_class,
    missing,
)
from timesformer.annotations.table import PackedStrings, VideoList
from timesformer.errors import UserError


def videos(labels: list[int], folder: str = "/v") -> VideoList:
    names = (f"{index:03d}.mp4" for index in range(len(labels)))
    return VideoList(PackedStrings(names, folder=folder), np.array(labels), "train.csv")


# 40 videos of class 0, 10 of class 1, 1 of class 2, mixed.
LABELS = np.random.default_rng(0).permutation([0] * 40 + [1] * 10 + [2]).tolist()


@pytest.mark.parametrize(
    ("fraction", "sizes"),
    [(0.001, [1, 1, 1]), (0.1, [4, 1, 1]), (0.25, [10, 3, 1]), (1.0, [40, 10, 1])],
)
def test_a_fraction_is_of_each_class_rounded_up_in_the_order_of_the_list(
    fraction: float, sizes: list[int]
) -> None:
    chosen = fraction_of_each_class(videos(LABELS), fraction, seed=0)
    assert np.bincount(chosen.labels).tolist() == sizes
    assert list(chosen.paths) == sorted(chosen.paths)
    for path, label in zip(chosen.paths, chosen.labels, strict=True):
        assert LABELS[int(Path(path).stem)] == label


@pytest.mark.parametrize(("fraction", "size"), [(0.07, 7), (0.55, 55), (0.551, 56)])
def test_what_floating_point_adds_is_not_rounded_up(fraction: float, size: int) -> None:
    assert len(fraction_of_each_class(videos([0] * 100), fraction, seed=0)) == size


def test_smaller_fractions_are_parts_of_larger_ones() -> None:
    parts = [
        set(fraction_of_each_class(videos(LABELS), share, seed=3).paths)
        for share in (0.1, 0.25, 0.3, 0.5, 0.9, 1.0)
    ]
    for smaller, larger in pairwise(parts):
        assert smaller < larger


def test_the_choice_is_of_the_seed_and_of_each_class_alone() -> None:
    chosen = [set(fraction_of_each_class(videos(LABELS), 0.25, seed=s).paths) for s in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    # Without the videos of class 1 at the end, the choice among the others stays.
    of_two = fraction_of_each_class(videos([0] * 40 + [1] * 10), 0.25, seed=0)
    of_one = fraction_of_each_class(videos([0] * 40), 0.25, seed=0)
    assert list(of_one.paths) == list(of_two.paths)[:10]


def test_missing_videos_are_told_by_index(tmp_path: Path) -> None:
    for name in ("000.mp4", "002.mp4"):
        (tmp_path / name).touch()
    assert list(missing(videos([0] * 4, str(tmp_path)))) == [1, 3]


def test_the_first_ten_are_asked_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "010.mp4").touch()
    with pytest.raises(UserError, match=r"None of the first 10 videos of train\.csv exists"):
        check_first_exists(videos([0] * 11, str(tmp_path)))
    (tmp_path / "009.mp4").touch()
    check_first_exists(videos([0] * 11, str(tmp_path)))


def test_each_video_is_there_forward_and_backward() -> None:
    plain = videos([4, 7, 7])
    both = forward_and_backward(plain)
    assert both.paths[:] == [path for path in plain.paths for _ in range(2)]
    assert both.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert both.backward is not None
    assert both.backward.tolist() == [False, True] * 3
    assert both.class_names == ("forward", "backward")
    assert plain.backward is None
