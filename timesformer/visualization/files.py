"""Pictures and films as files, which are there whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from timesformer.checkpoints.atomic import check_writable, writing
from timesformer.errors import UserError


def named(out: str | Path, *endings: str) -> list[Path]:
    """`out` with each ending, whether it has one of them or not: ``a.b`` stays a name.

    Raises:
        UserError: there is no name in it, or one of the files could not be written.
    """
    path = Path(out)
    if path.name in ("", ".."):
        raise UserError(f"--out is the folder '{out}': add the name of the files to write.")
    stem = path.with_suffix("") if path.suffix in endings else path
    paths = [stem.with_name(f"{stem.name}{ending}") for ending in endings]
    for each in paths:
        check_writable(each)
    return paths


def short(source: str) -> str:
    """The end of a path, enough to know a checkpoint by: ``run/checkpoints/file``."""
    return "/".join(Path(source).parts[-3:])


def write_film(path: Path, frames: Iterable[np.ndarray], fps: Fraction) -> None:
    """Frames uint8 RGB (H, W, 3), H and W even, as H.264 in mp4 that browsers play.

    Raises:
        UserError: it cannot be written.
    """
    memory = io.BytesIO()  # a muxer goes back to what it has written, which `writing` cannot
    with av.open(memory, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "18"})
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        reformatter = VideoReformatter()
        for rgb in frames:
            if not stream.codec_context.is_open:
                stream.height, stream.width = rgb.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            # One thread: by default every conversion would start as many as there are cores.
            container.mux(stream.encode(reformatter.reformat(frame, format="yuv420p", threads=1)))
        container.mux(stream.encode())
    with writing(path) as file:
        file.write(memory.getbuffer())
