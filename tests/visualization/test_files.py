"""Films that players can play; files that are there whole or not at all."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from timesformer.errors import UserError
from timesformer.visualization.files import named, write_film


def test_a_film_shows_its_frames(tmp_path: Path) -> None:
    frames = [np.full((32, 48, 3), level, dtype=np.uint8) for level in (20, 120, 220)]
    write_film(tmp_path / "new" / "a.mp4", iter(frames), Fraction(4))
    with av.open(str(tmp_path / "new" / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (48, 32, 4)
        seen = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    assert seen == pytest.approx([20, 120, 220], abs=3)


def test_names_have_one_ending() -> None:
    assert named("a/b.png", ".mp4", ".png") == [Path("a/b.mp4"), Path("a/b.png")]
    assert named("run_1.5", ".mp4") == [Path("run_1.5.mp4")]


@pytest.mark.parametrize("out", [".", "..", "/", "", "a/.."])
def test_a_folder_is_no_name(out: str) -> None:
    with pytest.raises(UserError, match="add the name of the files to write"):
        named(out, ".mp4", ".png")


def test_names_that_cannot_be_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(UserError, match=r"a.png' cannot be written \(it is a folder\)"):
        named(tmp_path / "a", ".mp4", ".png")
    with pytest.raises(UserError, match="because of /dev/null"):
        named("/dev/null/a", ".mp4")
