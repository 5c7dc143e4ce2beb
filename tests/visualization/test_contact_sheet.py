"""Sheets of clips: what stands where."""

import base64
import io
import os
import re

import numpy as np
import pytest
from PIL import Image

from timesformer.visualization.contact_sheet import (
    GAP,
    TILE_HEIGHT,
    Strip,
    evenly_spaced,
    save_html,
    save_png,
)


def strip(caption, num_frames, height=56, width=28):
    """Frame i is of the grey level 20 * i."""
    levels = np.arange(num_frames, dtype=np.uint8)[:, None, None, None] * 20
    return Strip(caption, np.broadcast_to(levels, (num_frames, height, width, 3)).copy())


def test_a_picture_shows_the_frames_in_order():
    save_png(file := io.BytesIO(), [strip("one", 4), strip("two", 4)])
    with Image.open(file) as picture:
        sheet = np.asarray(picture)
    row = sheet[GAP + 18 + TILE_HEIGHT // 2]
    middles = [row[GAP + i * (TILE_HEIGHT // 2 + GAP) + 28].tolist() for i in range(4)]
    assert middles == [[20 * i] * 3 for i in range(4)]
    assert sheet.shape[0] == 2 * (18 + TILE_HEIGHT + GAP) + GAP


def test_a_page_holds_its_pictures_and_escapes_its_words():
    save_html(file := io.BytesIO(), [strip("<b> & co", 2)], title='"t" <i>', note="a\nb <script>")
    page = file.getvalue().decode()
    assert "&lt;b&gt; &amp; co" in page
    assert "<script>" not in page
    assert "<i>" not in page
    assert "http" not in page, "it opens without a network"
    (data,) = re.findall(r"data:image/png;base64,([^\"]+)", page)
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.size == (2 * TILE_HEIGHT // 2 + GAP, TILE_HEIGHT)


def test_captions_wider_than_their_strip_are_not_cut():
    save_png(file := io.BytesIO(), [strip("a long caption " * 10, 1)])
    with Image.open(file) as sheet:
        assert sheet.width > 500


def test_a_name_that_is_no_utf_8_is_spelled_out():
    strips = [strip(os.fsdecode(b"bad\xff.avi"), 1)]
    save_png(io.BytesIO(), strips)
    save_html(file := io.BytesIO(), strips, title="t", note="n")
    assert "bad\\udcff.avi" in file.getvalue().decode()


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [(3, 8, [0, 1, 2]), (9, 3, [0, 4, 8]), (96, 2, [0, 95]), (5, 1, [0])],
)
def test_evenly_spaced(length, count, expected):
    assert evenly_spaced(length, count) == expected
