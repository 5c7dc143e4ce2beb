"""What the container of a video says of it, and whether the video keeps the promise."""

from __future__ import annotations

from dataclasses import dataclass
from io import SEEK_END
from itertools import pairwise

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from timesformer.datasets.opening import Source, open_stream, packets_of
from timesformer.errors import UnreadableVideo

# Containers whose packets come one after the other until there are no more, wherever that is, and
# whose headers were written by whoever knew the length.
_STREAMED = ("matroska,webm", "avi")
# Headers of sound files are wrong by a frame or two: by 1 of 73 in HMDB51.
_FRAMES_OFF, _SHARE_OFF = 3, 0.02


@dataclass(frozen=True)
class Header:
    """Of one video.

    Attributes:
        container: FFmpeg's name of the format, ``avi``, ``mov,mp4,…``. `codec` likewise.
        gap: the longest time without a frame of its own, in seconds; 0 where packets do not tell.
    """

    container: str
    codec: str
    gap: float = 0.0


def read_header(source: Source) -> Header:
    """Compare the header with the packets, without decoding them.

    Raises:
        UnreadableVideo: the video cannot be opened, or ends before it should.
    """
    container, stream = open_stream(source, lenient=True)
    with container, source.errors_named():
        names = container.format.name, stream.codec_context.codec.canonical_name
        if container.format.name not in _STREAMED:
            _check_index(source, stream)
            return Header(*names)
        shown = _times(source, container, stream)
        _check_end(source, shown, _promised(container, stream))
        gaps = (after - end for (_, end), (after, _) in pairwise(shown))
        return Header(*names, gap=max(gaps, default=0.0))


def _check_index(source: Source, stream: VideoStream) -> None:
    """A cut exactly between two frames looks like the end of a shorter video."""
    end = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    with source.open() as file:
        size = file.seek(0, SEEK_END)
    if end > size:
        raise UnreadableVideo(
            source.path, f"it is cut short: it has {size} bytes, and its index names {end}"
        )


def _times(
    source: Source, container: InputContainer, stream: VideoStream
) -> list[tuple[float, float]]:
    """When each frame is shown, from and until, in seconds; ascending."""
    unit = float(stream.time_base or 0)
    times = []
    for packet in packets_of(source, container, stream):
        start = packet.dts if packet.pts is None else packet.pts
        if start is not None:
            times.append((start * unit, (start + (packet.duration or 0)) * unit))
    return sorted(times)


def _check_end(source: Source, shown: list[tuple[float, float]], promised: float | None) -> None:
    if promised is None or not shown:
        return
    end = max(until for _, until in shown)
    frame = (shown[-1][0] - shown[0][0]) / len(shown)
    if promised - end > max(_FRAMES_OFF * frame, _SHARE_OFF * promised):
        raise UnreadableVideo(
            source.path,
            f"it is cut short, or damaged: its last frame ends at {end:.1f} s, and its header says "
            f"{promised:.1f} s",
        )


def _promised(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds from 0 to the end of the stream, as the header has them; None where it does not."""
    if container.format.name == "avi":  # whose duration FFmpeg guesses by bytes now and then
        rate = stream.average_rate
        return float(stream.frames / rate) if stream.frames and rate else None
    whole = container.duration / av.time_base if container.duration else None
    tag = next((v for name, v in stream.metadata.items() if name.startswith("DURATION")), None)
    if tag is None:  # of a file with sound, the end may be that of the sound
        return whole if len(container.streams) == 1 else None
    hours, minutes, seconds = (float(part) for part in tag.split(":"))
    return min(3600 * hours + 60 * minutes + seconds, whole or float("inf"))
