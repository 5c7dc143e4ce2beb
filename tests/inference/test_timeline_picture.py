"""The picture of a timeline shows what leads when."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from timesformer.errors import UserError
from timesformer.inference.predictor import Timeline
from timesformer.inference.timeline_picture import COLOURS, draw, likeliest, save_timeline


def timeline(rows, names=("run", "jump", "sit")):
    """Windows of two seconds, one second apart."""
    probabilities = np.array(rows, dtype=np.float32)
    starts = np.arange(len(rows), dtype=float)
    spans = np.stack([starts, starts + 2], axis=1)
    return Timeline("some/video.mp4", names, spans, probabilities, probabilities)


ROWS = [[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]


def test_the_leading_classes_come_first():
    assert likeliest(timeline(ROWS)) == [0, 2, 1]


def test_strip_and_curves():
    figure = draw(timeline(ROWS))
    strip, curves = figure.axes
    spans = [(patch.get_x(), patch.get_width()) for patch in strip.patches]
    assert spans == [(0, 1.5), (1.5, 1), (2.5, 1.5)]
    colours = [to_hex(patch.get_facecolor()).upper() for patch in strip.patches]
    assert colours == [COLOURS[0], COLOURS[0], COLOURS[1]]
    lines = {line.get_label(): line for line in curves.lines}
    assert list(lines) == ["run", "sit", "jump"]
    assert lines["sit"].get_xdata().tolist() == [1, 2, 3]
    assert lines["sit"].get_ydata() == pytest.approx([10, 10, 80], abs=1e-4)


def test_windows_that_cannot_be_read_are_hatched():
    figure = draw(timeline([ROWS[0], [np.nan] * 3, ROWS[2]]))
    assert [patch.get_hatch() for patch in figure.axes[0].patches] == [None, "///", None]
    assert likeliest(timeline([[np.nan] * 3])) == []


def test_any_name_can_be_drawn(tmp_path):
    """A $ would begin mathematics, a byte end the drawing, a long name leave no room for it."""
    names = ("$_$", "x" * 200, "caf\udce9")
    hostile = replace(timeline(ROWS, names), path="some/$_$ caf\udce9.mp4")
    save_timeline(tmp_path / "a.png", hostile)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1100, 462)


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        save_timeline(tmp_path / "file" / "a.png", timeline(ROWS))
