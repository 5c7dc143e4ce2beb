"""Videos that are quick to read at any frame: H.264 with a key frame every few pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter

from timesformer.errors import UnreadableVideo, UserError
from timesformer.preparation.clips import Clip
from timesformer.preparation.manifest import Made
from timesformer.preparation.pictures import Picture, open_clip, shrink

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower")
_CLOCK = 90_000  # ticks a second of videos without a constant rate, as in MPEG
# The index first, so that a file can be read as it arrives, and nothing in it that changes by run.
_MUXING = {"movflags": "+faststart", "fflags": "+bitexact"}


@dataclass(frozen=True, kw_only=True)
class VideoSettings:
    """How videos are re-encoded.

    Args:
        short_side: pixels of the shorter side of videos that are larger; even.
        gop: pictures from one key frame to the next.
        crf: x264's constant quality, 0 (lossless) to 51. At 23, in groups of 4 and at equal size,
            11 videos of UCF101 took 1.04 times their bytes, one of Kinetics 1.5 times. They are
            read 1.4 times as fast as groups of 8 at 22, with 8 % more bytes and 0.5 dB less.
        preset: x264's effort.
        frames_fps: frames per second of folders of frames.
    """

    short_side: int = 256
    gop: int = 4
    crf: int = 23
    preset: str = "fast"
    frames_fps: float = 30.0

    def __post_init__(self) -> None:
        if self.short_side < 16 or self.short_side % 2:
            raise UserError(f"--short-side is {self.short_side}; it must be even, 16 or more.")
        if self.gop < 1:
            raise UserError(f"--gop is {self.gop}; it must be 1 or more.")
        if not 0 <= self.crf <= 51:
            raise UserError(f"--crf is {self.crf}; it must be from 0 to 51.")
        if self.preset not in PRESETS:
            raise UserError(f"--preset is '{self.preset}'; it must be one of {', '.join(PRESETS)}.")

    def x264(self) -> dict[str, str]:
        """Options of the encoder: closed groups, in which pictures refer to earlier ones only.

        And what is quick to decode: clips of 8 frames are read 1.6 times as fast as without
        ``fastdecode`` at equal bytes (6.6 against 10.3 ms on UCF101, with 0.7 dB less), without
        which they are hardly faster than out of UCF101's MPEG-4 (10.8 ms).
        """
        # Without mbtree, which now and then makes different files of equal frames.
        params = f"keyint={self.gop}:min-keyint={self.gop}:scenecut=0:bframes=0:open-gop=0:mbtree=0"
        return {
            "crf": str(self.crf),
            "preset": self.preset,
            "tune": "fastdecode",
            "x264-params": params,
        }


def write_video(clip: Clip, target: Path, settings: VideoSettings) -> Made:
    """Write a clip as mp4 without sound. Frame i of it is frame i of the clip.

    The rate is the average one of the source. Where some frame is more than half a frame away from
    its place at that rate, the frames keep their own times.

    Raises:
        UnreadableVideo: the source cannot be read.
    """
    with open_clip(clip, frames_fps=settings.frames_fps) as pictures:
        rate = Fraction(pictures.fps).limit_denominator(1001)  # 30000/1001, exactly
        times = _encode(clip, pictures.frames, target, rate, settings)
    if all(time is not None for time in times):
        known = [time - (times[0] or 0) for time in times if time is not None]
        if _are_uneven(known, rate):
            _keep_times(target, known, rate)
    return Made(frames=len(times), fps=pictures.fps, bytes=target.stat().st_size)


def _encode(
    clip: Clip, frames: Iterator[Picture], target: Path, rate: Fraction, settings: VideoSettings
) -> list[Fraction | None]:
    """Write `frames` at a constant rate; the time of each is returned."""
    reformatter = VideoReformatter()
    times: list[Fraction | None] = []
    with av.open(str(target), "w", format="mp4", options=_MUXING) as container:
        stream = container.add_stream("libx264", rate=rate, options=settings.x264())
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        for picture, time in frames:
            rgb = shrink(picture, settings.short_side, multiple=2)
            if not times:
                stream.height, stream.width = _encodable(clip, rgb)
            # One thread: by default every conversion would start as many as there are cores.
            frame = reformatter.reformat(
                av.VideoFrame.from_ndarray(rgb, format="rgb24"), format="yuv420p", threads=1
            )
            container.mux(stream.encode(frame))
            times.append(time)
        container.mux(stream.encode())
    return times


def _encodable(clip: Clip, rgb: np.ndarray) -> tuple[int, int]:
    if min(rgb.shape[:2]) < 2:
        raise UnreadableVideo(clip.path, "its pictures are a single pixel high or wide")
    return rgb.shape[0], rgb.shape[1]


def _are_uneven(times: Sequence[Fraction], rate: Fraction) -> bool:
    # Times that do not ascend are no times of presentation, which is common in AVI.
    ascend = all(before < after for before, after in pairwise(times))
    return ascend and any(abs(time * rate - place) > 0.5 for place, time in enumerate(times))


def _keep_times(target: Path, times: Sequence[Fraction], rate: Fraction) -> None:
    """Stamp the frames of the video `target` anew. Without B frames, packet i is frame i."""
    ends = [*times[1:], times[-1] + 1 / rate]
    aside = target.with_name(f"{target.name}.times")
    with (
        av.open(str(target)) as source,
        av.open(str(aside), "w", format="mp4", options=_MUXING) as container,
    ):
        _copy(source.streams.video[0], source, container, list(zip(times, ends, strict=True)))
    os.replace(aside, target)


def _copy(
    stream: av.video.stream.VideoStream,
    source: av.container.InputContainer,
    container: OutputContainer,
    shown: Sequence[tuple[Fraction, Fraction]],
) -> None:
    copied = container.add_stream_from_template(stream)
    copied.time_base = Fraction(1, _CLOCK)
    packets = (packet for packet in source.demux(stream) if packet.size)
    for packet, (start, end) in zip(packets, shown, strict=True):
        packet.stream, packet.time_base = copied, Fraction(1, _CLOCK)
        packet.pts = packet.dts = round(start * _CLOCK)
        packet.duration = round(end * _CLOCK) - packet.pts
        container.mux(packet)
