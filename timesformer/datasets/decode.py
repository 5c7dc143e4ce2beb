"""Read single frames out of a video file, decoding no more than they need.

Frame i is the i-th frame that a full decode of the file's best video stream yields; whichever way
it is read, its pixels are the same to the bit. There are two ways:

Selective. The container's index (container_index.py), or else one pass over the packets
(packets.py), tells without decoding which packet holds which frame and where decoding can start. A
read then decodes the groups of pictures that hold a wanted frame, from their key frame to the last
wanted one, and lets the decoder skip the unwanted frames that no other frame refers to.

Full. Containers lie: AVI has no presentation times, some packets hold no frame, flags and time
stamps are wrong. Where the packets give a reason for doubt (see packets.py), or a selective read
meets a surprise, the file is decoded from its beginning and the frames are counted as they come.
That needs no trust and is slower (2 to 8 times), since the file is opened again and decoded to its
end, to count the frames, unless the packets were trusted to tell. The first frames, enough for most
clips, are kept for reading; a read beyond them decodes the file again, up to the last wanted one.

One lie is met late. A packet that looks like a frame and yields none goes unnoticed until it is
wanted, or the decoder objects; until then, the frames after it are numbered as if it held one. The
same holds for a damaged AVI whose index is whole: a full decode loses frames at the damage.

Either way only the wanted frames are converted to RGB, and on one thread: workers are parallel
across videos.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Container, Generator, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import dropwhile, islice

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from timesformer.datasets.container_index import indexed
from timesformer.datasets.opening import Source, open_stream, packets_of
from timesformer.datasets.packets import Layout, Run, scan
from timesformer.datasets.pictures import Pictures, require_one_size, to_rgb
from timesformer.errors import UnreadableVideo

# Codecs in which "not a reference" is a property of the picture itself. In HEVC it only holds
# within a temporal layer, and skipped VP8 and VP9 frames still change the decoder's state.
_SKIPPABLE_CODECS = ("h264", "mpeg4")

# What is kept of a video that had to be decoded to count its frames: 10 s of 640x480.
_MAX_KEPT_BYTES = 128 * 2**20

# For streams that state no rate at all, which is rare (raw streams): the usual rate of web video.
_FALLBACK_FPS = 30.0


class VideoReader:
    """An open video file that hands out frames by index; a context manager.

    Attributes:
        path: the file, as given; with `data`, only a name for messages.
        source: the same, and `data`.
        num_frames: frames that a full decode yields, whatever the header says. Never changes: a
            packet that is found to yield none still counts, and `read` says what is missing.
        fps: average frame rate in frames per second; 30 where the file states none.
        ticks_per_frame: duration in units of the stream's time base over the header's number of
            frames; None where the header states no duration. `sampling.clip_indices` wants it.

    Raises:
        UnreadableVideo: the file is missing, is not a video, holds no frame, or is cut short.
    """

    num_frames: int
    fps: float
    ticks_per_frame: float | None

    def __init__(self, path: str, data: bytes | None = None) -> None:
        self.path = path
        self.source = Source(path, data)
        self._container, self._stream = open_stream(self.source, lenient=False)
        try:
            self._layout = _layout(self.source, self._container, self._stream)
            self._is_trusted = self.is_indexed
            self._kept: list[VideoFrame] = []
            if self._layout is not None:
                self.num_frames = self._layout.num_frames
            else:
                self.num_frames, self._kept = _count_frames(self.source)
            if self.num_frames == 0:
                raise UnreadableVideo(path, "it holds no frame")
        except BaseException:
            self.close()
            raise
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or _FALLBACK_FPS)
        self.ticks_per_frame = _ticks_per_frame(self._stream, self.num_frames)

    @property
    def is_indexed(self) -> bool:
        """Whether the file tells which packet holds which frame; else its frames were counted."""
        return self._layout is not None

    def frame_at(self, seconds: float) -> int:
        """The first frame shown `seconds` or more after the first one; `num_frames` if none is.

        By the frames' times where the file tells them (see the module), else by `fps`.
        """
        if self._layout is None or self._stream.time_base is None:
            return min(max(_round_up(seconds * self.fps), 0), self.num_frames)
        times = self._layout.frame_times
        ticks = _round_up(seconds / float(self._stream.time_base))
        return bisect_left(times, times[0] + ticks)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames `indices` (any order, repeats allowed) as RGB, uint8 (len(indices), H, W, 3).

        Damage that no wanted frame depends on goes unnoticed.

        Raises:
            IndexError: an index is negative or not below `num_frames`.
            UnreadableVideo: the decoder fails, or the video ends, before the last wanted frame.
        """
        wanted = set(indices)
        if not wanted or min(wanted) < 0 or max(wanted) >= self.num_frames:
            raise IndexError(f"frames {indices} of a video of {self.num_frames} frames")
        return self._read_distinct(wanted).in_order(indices)

    def pictures(
        self, first: int = 0, end: int | None = None
    ) -> Iterator[tuple[np.ndarray, Fraction | None]]:
        """Frames `first` to `end` (exclusive), RGB, uint8 (H, W, 3), one after the other.

        Each with its time in seconds, where it is known. All of the video up to `end` is decoded,
        so that any damage is met; but for a part, that before it, where the packets are trusted.

        Raises:
            UnreadableVideo: the decoder fails, or patches up a picture, which `read` lets pass
                where a full decode does.
        """
        reformatter = VideoReformatter()
        with closing(self._frames(first, end)) as frames:
            for index, frame in enumerate(frames, start=first):
                if frame.is_corrupt:
                    raise UnreadableVideo(self.path, f"frame {index} is damaged")
                picture = to_rgb(self.path, frame, reformatter)
                yield np.ascontiguousarray(picture), _time(frame, self._stream)

    def _frames(self, first: int, end: int | None) -> Generator[VideoFrame, None, None]:
        if first and self._layout is not None and self._is_trusted:
            try:
                for frame in _decode_from(self.source, self._layout, first, end):
                    yield frame
                    first += 1
                return
            except (_Surprise, av.FFmpegError):
                self._is_trusted = False
        with closing(_decode(self.source)) as frames:
            yield from islice(frames, first, end)

    def close(self) -> None:
        """Close the file. Reading afterwards is an error."""
        self._kept = []
        self._container.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _read_distinct(self, wanted: set[int]) -> Pictures:
        if self._layout is not None and self._is_trusted:
            try:
                return _read_selected(
                    self.source, self._container, self._stream, self._layout, wanted
                )
            except (_Surprise, av.FFmpegError):
                # A lying key frame flag and damage look alike. The full decode tells them apart,
                # and stays in use for this file.
                self._is_trusted = False
        return _read_counted(self.source, wanted, self._kept)


def decode_all(path: str, data: bytes | None = None) -> np.ndarray:
    """Every frame of a video as RGB, uint8 (N, H, W, 3): what `VideoReader.read` is tested against.

    Raises:
        UnreadableVideo: as `VideoReader`; the decoder failed anywhere.
    """
    reformatter = VideoReformatter()
    pictures = [to_rgb(path, frame, reformatter) for frame in _decode(Source(path, data))]
    if not pictures:
        raise UnreadableVideo(path, "it holds no frame")
    require_one_size(path, pictures)
    return np.stack(pictures)


class _Surprise(Exception):  # noqa: N818 - caught here, and no error: the full way follows
    """A selective read met something that the scan of the packets did not promise."""


def _ticks_per_frame(stream: VideoStream, num_frames: int) -> float | None:
    return stream.duration / (stream.frames or num_frames) if stream.duration else None


def _time(frame: VideoFrame, stream: VideoStream) -> Fraction | None:
    # The frames that a decoder still holds at the end come out without a time base.
    return None if frame.pts is None or stream.time_base is None else frame.pts * stream.time_base


def _round_up(value: float) -> int:
    # 0.3 seconds are frame 3 at 10 frames per second, whatever floating point makes of them.
    return math.ceil(value - 1e-6)


# --- the selective way ----------------------------------------------------------------------------


def _layout(source: Source, container: InputContainer, stream: VideoStream) -> Layout | None:
    with source.errors_named():
        layout = indexed(container, stream, source.open)
        return layout or scan(container, stream, packets_of(source, container, stream))


def _read_selected(
    source: Source,
    container: InputContainer,
    stream: VideoStream,
    layout: Layout,
    wanted: set[int],
) -> Pictures:
    """The frames `wanted` by index; `_Surprise` where the file is not as the layout says."""
    pictures = Pictures(source.path, wanted)
    for index, frame in _selected(source, container, stream, layout, wanted):
        pictures.add(index, frame)
    if not pictures.are_complete:
        raise _Surprise
    return pictures


def _decode_from(
    source: Source, layout: Layout, first: int, end: int | None
) -> Iterator[VideoFrame]:
    """Frames `first` to `end` (exclusive) in their order; `_Surprise` as above."""
    wanted = range(layout.num_frames)[first:end]
    # A container of its own: whoever takes the frames may `read` in between.
    container, stream = open_stream(source, lenient=False)
    with container:
        expected = iter(wanted)
        for index, frame in _selected(source, container, stream, layout, wanted):
            if index != next(expected, None):
                raise _Surprise
            yield frame
        if next(expected, None) is not None:
            raise _Surprise


def _selected(
    source: Source,
    container: InputContainer,
    stream: VideoStream,
    layout: Layout,
    wanted: Collection[int],
) -> Iterator[tuple[int, VideoFrame]]:
    """The frames `wanted` and their indices, as they come."""
    packets = {layout.frame_packets[index]: index for index in wanted}
    index_at = {layout.pts[packet]: index for packet, index in packets.items()}
    for run in layout.runs(packets):
        container.seek(layout.pts[run.first], stream=stream)  # clears the decoder, too
        found = _packets_from(layout, run, packets_of(source, container, stream))
        frames = _decode_run(stream.codec_context, found, run, packets)
        for frame in _checked(frames, layout.pts[run.first]):
            if frame.pts in index_at:
                yield index_at[frame.pts], frame


def _packets_from(
    layout: Layout, run: Run, packets: Iterator[Packet[VideoStream]]
) -> Iterator[tuple[int, Packet[VideoStream]]]:
    """The packets of `run`, numbered, out of `packets`, which a seek may have set too early."""
    entry = layout.places[run.first]
    found = dropwhile(lambda packet: packet.pos != entry, packets)
    for number, packet in zip(range(run.first, run.last + 1), found, strict=False):
        if packet.pts != layout.pts[number] or packet.pos != layout.places[number]:
            raise _Surprise
        yield number, packet


def _decode_run(
    decoder: VideoCodecContext,
    numbered: Iterator[tuple[int, Packet[VideoStream]]],
    run: Run,
    wanted: Container[int],
) -> Iterator[VideoFrame]:
    """Decode the packets of `run`, numbered; some frames that are not `wanted` do not come out."""
    can_skip = decoder.codec.canonical_name in _SKIPPABLE_CODECS
    for number, packet in numbered:
        is_needed = number == run.first or number in wanted
        decoder.skip_frame = "NONREF" if can_skip and not is_needed else "DEFAULT"
        yield from decoder.decode(packet)
    yield from decoder.decode(None)


def _checked(frames: Iterator[VideoFrame], entry: int) -> Iterator[VideoFrame]:
    """Pass `frames` on while they are whole and ascend, and that of time `entry` is a key frame.

    The MPEG-4 decoder starts anywhere, with whatever picture it has. The others fail, or skip ahead
    to a true key frame, and do not always yield the first: an edit list may discard it.
    """
    previous = None
    for frame in frames:
        # The strict decoder does not refuse all damage, and patches it up in another way.
        if frame.pts is None or frame.is_corrupt:
            raise _Surprise
        if previous is not None and frame.pts <= previous:
            raise _Surprise
        previous = frame.pts
        if frame.pts == entry and not frame.key_frame:
            raise _Surprise
        yield frame


# --- the full way ---------------------------------------------------------------------------------


def _decode(source: Source) -> Generator[VideoFrame, None, None]:
    """Every frame of the file, from a decoder and a container that nobody has touched."""
    container, stream = open_stream(source, lenient=True)
    with container, source.errors_named():
        for packet in packets_of(source, container, stream):
            yield from stream.codec_context.decode(packet)
        yield from stream.codec_context.decode(None)


def _count_frames(source: Source) -> tuple[int, list[VideoFrame]]:
    """How many frames there are, and the first of them, as many as are kept in memory."""
    count, size, kept = 0, 0, []
    for frame in _decode(source):
        count += 1
        size += sum(plane.buffer_size for plane in frame.planes)
        if size <= _MAX_KEPT_BYTES:
            kept.append(frame)
    return count, kept


def _read_counted(source: Source, wanted: set[int], kept: list[VideoFrame]) -> Pictures:
    """The frames `wanted` by index, of which those in `kept` need no decoding any more."""
    if max(wanted) < len(kept):
        pictures = Pictures(source.path, wanted)
        for index in wanted:
            pictures.add(index, kept[index])
        return pictures
    pictures = Pictures(source.path, wanted)
    num_decoded = 0
    with closing(_decode(source)) as frames:
        for index, frame in enumerate(islice(frames, max(wanted) + 1)):
            num_decoded = index + 1
            if index in wanted:
                pictures.add(index, frame)
    if num_decoded <= max(wanted):
        # Not the last frame in its place: the number of frames that the caller went by was wrong,
        # most often by damage, and a repeated frame would tell nobody.
        raise UnreadableVideo(
            source.path,
            f"frame {max(wanted)} is missing: its packets promise more than the {num_decoded} "
            "frames that decode",
        )
    return pictures
