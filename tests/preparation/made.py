"""Small videos whose frames can be told apart after compression, and data sets of them."""

from __future__ import annotations

import runpy
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from timesformer.annotations.csv_list import read_video_list
from timesformer.preparation.lists import DataSet
from timesformer.preparation.workers import Crew, How

ROOT = Path(__file__).parents[2]
# Nearly lossless, so that what differs afterwards is the doing of what is tested.
SHARP = {"crf": "4", "preset": "ultrafast"}
HOW = How(Crew(1, 60))


def picture(index: int, width: int, height: int, seed: int = 0) -> np.ndarray:
    """Smooth, which compresses well, and unlike those before and after it."""
    y, x = np.mgrid[:height, :width] / 16
    waves = [np.sin(x + 1.7 * index + seed), np.cos(y - 1.3 * index), np.sin(x - y + index * 2.1)]
    return np.stack([128 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)


def pictures(num_frames: int, width: int = 64, height: int = 48, seed: int = 0) -> np.ndarray:
    return np.stack([picture(index, width, height, seed) for index in range(num_frames)])


def make_video(
    path: Path,
    *,
    num_frames: int = 20,
    size: tuple[int, int] = (64, 48),
    rate: Fraction | int = 25,
    codec: str = "libx264",
    times_ms: list[int] | None = None,
    seed: int = 0,
    container: str | None = None,
) -> Path:
    """Write `pictures` of `size` (width, height); `container` is that of the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container, options={"fflags": "+bitexact"}) as output:
        options = SHARP if codec == "libx264" else {"qscale": "1"}
        stream = output.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p" if size[0] % 2 == size[1] % 2 == 0 else "yuv444p"
        stream.codec_context.thread_count = 1
        if times_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(index, *size, seed), format="rgb24")
            if times_ms:
                frame.pts, frame.time_base = times_ms[index], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def psnr(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of each frame, in decibels."""
    error = np.mean((first.astype(np.float64) - second) ** 2, axis=(1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(error, 1e-9))


def assert_same_pictures(made: np.ndarray, source: np.ndarray, at_least: float) -> None:
    """Frame i looks like frame i, and like no neighbour of it."""
    assert made.shape == source.shape
    assert psnr(made, source).min() > at_least
    assert psnr(made[1:], source[:-1]).max() < at_least - 10


def write_lists(folder: Path, **lists: str) -> Path:
    """Csv files of lines with the names of their splits."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, lines in lists.items():
        (folder / f"{split}.csv").write_text(lines)
    return folder


def data_set(folder: Path, **changes: int) -> DataSet:
    """The lists in a folder."""
    paths = [folder / f"{split}.csv" for split in ("train", "val", "test")]
    lists = {path.stem: read_video_list(path) for path in paths if path.exists()}
    return DataSet(lists, changes.get("num_classes"), frames_fps=25.0)


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of everything but the manifest, whose lines stand in the order of the work."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("manifest.jsonl", ".lock")
    }


def run_door(tool: str, *words: object, monkeypatch: pytest.MonkeyPatch) -> object:
    """Run a tool in this process; what it exits with: a status, or a sentence."""
    monkeypatch.setattr(sys, "argv", [tool, *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(ROOT / "tools" / f"{tool}.py"), run_name="__main__")
    return exit_.value.code
