"""Pictures of a mistake: of any kind of video, or a note."""

import base64
import io
from math import nan

import numpy as np
import pytest
from PIL import Image

from tests.small_videos import small_frames, small_video
from timesformer.datasets.sources import open_video
from timesformer.report.frames import GAP, HEIGHT, NUM_FRAMES, picture, strip_of

WHOLE = (nan, nan)


def opened(strip):
    kind, data = strip.address.split(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize("make", [lambda path: small_video(path / "a.mp4"), small_frames])
def test_videos_and_folders(make, tmp_path):
    strip = strip_of(str(make(tmp_path)), span=WHOLE, frames_fps=30)
    assert strip.note == ""
    with opened(strip) as jpeg:
        assert jpeg.size == (strip.width, strip.height)
        assert jpeg.size == (NUM_FRAMES * 160 + (NUM_FRAMES - 1) * GAP, HEIGHT)  # of 48 x 36


def test_a_video_shorter_than_the_strip(tmp_path):
    strip = strip_of(str(small_video(tmp_path / "a.mp4", num_frames=2)), span=WHOLE, frames_fps=30)
    assert strip.width == 2 * 160 + GAP


def test_a_part_of_a_video(tmp_path):
    """Frame 20 on, of 25 a second; whatever comes before is left alone."""
    path = str(small_video(tmp_path / "a.mp4", num_frames=30))
    strip = strip_of(path, span=(0.8, nan), frames_fps=30)
    with opened(strip) as jpeg:
        found = np.asarray(jpeg.resize((4, 1), Image.Resampling.BOX), dtype=float)
    with open_video(path, decoder="pyav", frames_fps=30) as reader:
        expected = picture(reader.read([21, 23, 26, 28]))
    with opened(expected) as jpeg:
        assert np.array_equal(found, np.asarray(jpeg.resize((4, 1), Image.Resampling.BOX)))
    assert "it has no frame from 9 s" in strip_of(path, span=(9, nan), frames_fps=30).note


def test_backward(tmp_path):
    """As the network saw it: its last frame first."""
    path = str(small_video(tmp_path / "a.mp4", num_frames=4))
    with open_video(path, decoder="pyav", frames_fps=30) as reader:
        expected = picture(reader.read([0, 1, 2, 3])[::-1])
    strip = strip_of(path, span=WHOLE, frames_fps=30, backward=True)
    assert strip.address == expected.address
    assert strip.address != strip_of(path, span=WHOLE, frames_fps=30).address


def test_colours_and_order():
    frames = np.zeros((2, 300, 300, 3), np.uint8)
    frames[0, ..., 0], frames[1, ..., 2] = 255, 255
    with opened(picture(frames)) as jpeg:
        red, blue = jpeg.getpixel((60, 60)), jpeg.getpixel((HEIGHT + GAP + 60, 60))
    assert red == pytest.approx((255, 0, 0), abs=8)  # what JPEG changes
    assert blue == pytest.approx((0, 0, 255), abs=8)


@pytest.mark.parametrize("content", [None, b"", b"no video"])
def test_no_picture_but_a_note(content, tmp_path):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    strip = strip_of(str(path), span=WHOLE, frames_fps=30)
    assert strip.address == ""
    assert "a.mp4" in strip.note
