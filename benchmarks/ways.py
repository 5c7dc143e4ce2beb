"""Ways of getting the frames of a clip out of a video file as one array, each on one thread."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import av
import numpy as np

from benchmarks import released
from timesformer.datasets.decode import VideoReader
from timesformer.datasets.opening import Source, open_stream, packets_of
from timesformer.datasets.sampling import clip_indices, clip_span
from timesformer.datasets.torchcodec_reader import import_decoder
from timesformer.errors import UserError

CLIP_FRAMES, STEP, TARGET_FPS = 8, 32, 30.0

Way = Callable[[int], object]


class Clips:
    """Clips of 8x32 at even distances over a video, one for each repetition."""

    def __init__(self, path: str, count: int) -> None:
        self.path = path
        with VideoReader(path) as reader:
            self.num_frames, self.fps = reader.num_frames, reader.fps
            self.span = clip_span(CLIP_FRAMES, STEP, reader.fps, TARGET_FPS)
            slack = max(reader.num_frames - self.span, 0.0)
            self.starts = [slack * (number + 0.5) / count for number in range(count)]
            self.indices = [
                clip_indices(
                    start, self.span, CLIP_FRAMES, reader.num_frames, reader.ticks_per_frame
                )
                for start in self.starts
            ]


def ways_of(clips: Clips) -> tuple[dict[str, Way], list[str]]:
    """The ways by name, and the names of the packages that are not installed."""
    ways: dict[str, Way] = {
        "released code, as written": lambda n: _released(clips, n, threads=None),
        "released code, one thread": lambda n: _released(clips, n, threads=1),
        "ours": lambda n: _ours(clips, n),
        "PyAV, a seek for each frame": lambda n: _pyav_by_index(clips.path, clips.indices[n]),
    }
    missing = []
    for package, add in (("torchcodec", _torchcodec_ways), ("decord", _decord_ways)):
        try:
            ways |= add(clips)
        except (ImportError, OSError, UserError):
            missing.append(package)
    limit = _limit(clips)
    return ways | ({"limit: decoding alone": limit} if limit else {}), missing


def _released(clips: Clips, number: int, *, threads: int | None) -> object:
    start, span = clips.starts[number], clips.span
    return released.read_clip(clips.path, start, span, CLIP_FRAMES, threads=threads)


def _ours(clips: Clips, number: int) -> np.ndarray:
    with VideoReader(clips.path) as reader:
        return reader.read(clips.indices[number])


def _pyav_by_index(path: str, indices: list[int]) -> np.ndarray:
    """Seek to the key frame before each frame, and decode up to it; indices by time."""
    pictures = []
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        ticks = 1 / (float(stream.average_rate) * float(stream.time_base))
        for index in indices:
            container.seek(int(index * ticks), stream=stream)
            for frame in container.decode(stream):
                if frame.pts is not None and frame.pts >= int(index * ticks):
                    break
            pictures.append(frame.reformat(format="rgb24", threads=1).to_ndarray())
    return np.stack(pictures)


def _torchcodec_ways(clips: Clips) -> dict[str, Way]:
    decoder = import_decoder()

    def read(number: int, seek_mode: str) -> object:
        video = decoder(
            clips.path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode=seek_mode
        )
        return video.get_frames_at(clips.indices[number]).data

    return {
        "torchcodec, exact": lambda n: read(n, "exact"),
        "torchcodec, approximate": lambda n: read(n, "approximate"),
    }


def _decord_ways(clips: Clips) -> dict[str, Way]:
    reader: Any = import_module("decord").VideoReader

    def read(number: int) -> np.ndarray:
        return reader(clips.path, num_threads=1).get_batch(clips.indices[number]).asnumpy()

    return {"decord": read}


def _limit(clips: Clips) -> Way | None:
    """Decode the packets that our reader decodes: nothing opened, read or converted.

    None where the packets do not tell which frame is which.
    """
    with VideoReader(clips.path) as reader:
        layout = reader._layout
    if layout is None:
        return None
    source = Source(clips.path)
    container, stream = open_stream(source, lenient=True)
    packets = list(packets_of(source, container, stream))
    decoder = stream.codec_context
    wanted = [{layout.frame_packets[index] for index in indices} for indices in clips.indices]
    can_skip = decoder.codec.canonical_name in ("h264", "mpeg4")

    def decode(number: int) -> None:
        for run in layout.runs(wanted[number]):
            decoder.flush_buffers()
            for packet in range(run.first, run.last + 1):
                is_needed = packet == run.first or packet in wanted[number] or not can_skip
                decoder.skip_frame = "DEFAULT" if is_needed else "NONREF"
                decoder.decode(packets[packet])
            decoder.decode(None)

    return decode
