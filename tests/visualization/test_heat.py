"""Colours lie where the heat is, and the scale says how much it is."""

from __future__ import annotations

import numpy as np
import pytest

from timesformer.visualization.heat import (
    COLOURS,
    GAP,
    LINE,
    SHARE_OF_COLOUR,
    Heat,
    Study,
    board,
    cells_at,
    film,
    moment,
    painted,
    sheet,
)


def study(num_maps: int = 1, frames: int = 3) -> Study:
    """Grey frames, and maps with one hot patch, in frame 1, the upper right of 2 x 2."""
    values = np.zeros((frames, 2, 2))
    values[1, 0, 1] = 2.0
    grey = np.full((frames, 8, 8, 3), 100, dtype=np.uint8)
    return Study(["heading"], grey, [Heat(f"map {i}", values) for i in range(num_maps)])


def test_heat_is_relative_to_the_mean_of_the_clip() -> None:
    heat = Heat("", np.array([[[1.0, 3.0]], [[0.0, 4.0]]]))
    assert heat.relative.tolist() == [[[0.5, 1.5]], [[0.0, 2.0]]]
    assert heat.top == pytest.approx(2.0, abs=0.02)  # the 99th percentile
    nothing = Heat("", np.zeros((1, 2, 2)))
    assert nothing.top == 0
    assert not nothing.relative.any()


def test_colours_lie_on_the_hot_patch() -> None:
    cold, hot = cells_at(study(), 0, 8)[1].picture, cells_at(study(), 1, 8)[1].picture
    expected = (1 - SHARE_OF_COLOUR) * 100 + SHARE_OF_COLOUR * COLOURS[[0, 255]]
    assert np.abs(cold - expected[0]).max() <= 0.5
    assert np.abs(hot[0, -1] - expected[1]).max() <= 0.5
    assert np.abs(hot[-1, 0] - expected[0]).max() <= 0.5


def test_colours_are_uniform_to_the_eye() -> None:
    """Each is lighter than the one before."""
    lightness = COLOURS @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > -0.8).all()  # whole numbers have their rounding
    assert lightness[0] < 2
    assert lightness[-1] > 240


def test_more_than_the_scale_is_shown_as_its_end() -> None:
    frame = np.zeros((4, 4, 3), dtype=np.uint8)
    values = np.zeros((2, 10, 10))
    values[0, 0, 0], values[0, 0, 1], values[0, 0, 2] = 1.0, 5.0, 500.0
    one = Study([], np.stack([frame, frame]), [Heat("", values)])
    assert one.heats[0].relative.max() > one.heats[0].top
    assert cells_at(one, 0, 4)[1].picture.max() <= 255 * SHARE_OF_COLOUR + 1


def test_boards_have_even_sides_and_rows() -> None:
    cells = cells_at(study(num_maps=4), 0, 15)
    picture = board(["a", "b"], cells, columns=2)
    assert (picture.width % 2, picture.height % 2) == (0, 0)
    assert picture.height >= 2 * LINE + 3 * (15 + 2 * LINE + GAP)


def test_films_and_sheets() -> None:
    few, many = study(num_maps=2), study(num_maps=6)
    frames = list(film(few, columns=3, side=32))
    assert len(frames) == 3
    assert frames[0].dtype == np.uint8
    assert frames[0].shape == frames[2].shape
    assert not np.array_equal(frames[0], frames[1])
    assert np.array_equal(frames[1], np.asarray(moment(few, 1, columns=3, side=32)))
    # the frame has a row of its own, then 6 maps in rows of 3
    assert moment(many, 0, columns=3, side=32).height > moment(few, 0, columns=3, side=32).height
    assert sheet(few).width >= 3 * 224


def test_long_words_are_cut() -> None:
    one = study()
    wide = Study(["w" * 1000], one.frames, one.heats)
    assert moment(wide, 0, columns=2, side=32).size == moment(one, 0, columns=2, side=32).size


def test_any_name_can_be_drawn() -> None:
    one = study()
    hostile, spelt_out = (
        np.asarray(sheet(Study([name], one.frames, [Heat(name, one.heats[0].values)])))
        for name in ("$_$ caf\udce9.mp4", r"$_$ caf\udce9.mp4")
    )
    assert np.array_equal(hostile, spelt_out)


def test_a_frame_is_grey_under_the_colours() -> None:
    red = np.zeros((2, 2, 3), dtype=np.uint8)
    red[..., 0] = 255
    picture = painted(red, np.zeros((1, 1)))
    assert np.ptp(picture[0, 0].astype(int) - np.rint(SHARE_OF_COLOUR * COLOURS[0])) <= 1
