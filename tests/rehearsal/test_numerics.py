"""What the comparison of numbers says of runs that differ by a known amount."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from timesformer.datasets.decode import VideoReader
from timesformer.rehearsal.commits import keep
from timesformer.rehearsal.numerics import (
    DRIFT,
    DRIFT_OF_AUGMENTED,
    Numbers,
    difference,
    machine,
    random_stream,
    read_golden,
    write_golden,
    write_lossless,
)
from timesformer.synthetic.shapes import draw
from timesformer.synthetic.tasks import TASKS

NUMBERS = Numbers(
    machine=machine(),
    random="",
    clips="a digest",
    losses=[1.25, 1.0, 2 / 3],
    scores=[[0.1, -0.1], [float(np.float32(1 / 3)), 2.0]],
    weights="another",
)


def changed_losses(*by: float) -> Numbers:
    losses = [loss + change for loss, change in zip(NUMBERS.losses, by, strict=True)]
    return replace(NUMBERS, losses=losses, weights="changed")


def test_the_first_and_the_largest_difference_are_told() -> None:
    found = difference(NUMBERS, changed_losses(0, 0.5, 0.25))
    assert (found.first, found.largest, found.step) == (2, 0.5, 2)
    assert found.excess == pytest.approx(0.5 / (2 * DRIFT))
    assert not found.is_rounding
    assert "losses differ from step 2 on, by up to 5.0e-01 in step 2" in str(found)
    assert "more than rounding" in str(found)


def test_rounding_is_told_from_more_than_that_in_each_step() -> None:
    for step in range(3):
        by = [0.0, 0.0, 0.0]
        by[step] = 0.9 * DRIFT * (step + 1)
        found = difference(NUMBERS, changed_losses(*by))
        assert found.is_rounding
        assert not found.is_none
        by[step] = 1.1 * DRIFT * (step + 1)
        assert not difference(NUMBERS, changed_losses(*by)).is_rounding


def test_augmented_clips_may_move_further() -> None:
    plain = replace(NUMBERS, random="1001")
    moved = replace(changed_losses(0.9 * DRIFT_OF_AUGMENTED, 0, 0), random="1001")
    assert difference(plain, moved).is_rounding
    assert not difference(NUMBERS, moved).is_rounding


def test_scores_and_weights_count_as_losses_do() -> None:
    assert str(difference(NUMBERS, NUMBERS)) == "equal to the bit"
    weights = difference(NUMBERS, replace(NUMBERS, weights="changed"))
    assert weights.is_rounding
    assert not weights.is_none
    scores = replace(NUMBERS, scores=[[0.1, -0.1], [0.3, 2.0]])
    assert not difference(NUMBERS, scores).is_rounding
    assert str(difference(NUMBERS, scores)).startswith("equal losses, scores by up to 3.3e-02")


def test_what_is_no_number_is_never_close() -> None:
    broken = changed_losses(0, math.nan, 0)
    assert not difference(NUMBERS, broken).is_rounding
    assert difference(broken, broken).is_none
    shorter = replace(NUMBERS, losses=NUMBERS.losses[:2])
    assert difference(NUMBERS, shorter).first == 3
    assert not difference(shorter, NUMBERS).is_rounding


def test_a_golden_file_keeps_every_bit(tmp_path: Path) -> None:
    write_golden(tmp_path / "a.json", NUMBERS)
    assert read_golden(tmp_path / "a.json") == NUMBERS


def test_a_golden_file_is_written_where_there_is_news(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert keep(path, NUMBERS) == "written"
    assert keep(path, NUMBERS) == "stays; equal to the bit"
    rounded = changed_losses(0, 1e-9, 0)
    assert keep(path, replace(rounded, machine={"torch": "0.1"})).startswith("stays; losses differ")
    assert keep(path, replace(rounded, random="1001")).startswith("stays; PyTorch draws other")
    assert read_golden(path) == NUMBERS
    assert keep(path, rounded).startswith("written anew; losses differ from step 2 on")
    assert read_golden(path) == rounded
    elsewhere = replace(changed_losses(0.5, 0, 0), machine={"torch": "0.1"})
    assert keep(path, elsewhere).startswith("written anew")


def test_clips_are_decoded_to_what_was_drawn(tmp_path: Path) -> None:
    frames = draw(TASKS["direction"].make_recipe(0, "train", 3))
    write_lossless(tmp_path / "a.mp4", frames)
    with VideoReader(str(tmp_path / "a.mp4")) as reader:
        assert np.array_equal(reader.read(range(reader.num_frames)), frames)


def test_the_random_stream_is_looked_at_without_moving_it() -> None:
    assert random_stream() == random_stream()
