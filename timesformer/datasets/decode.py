"""Read single frames out of a video file, decoding no more than they need.

Frame i is the i-th frame that a full decode of the file's best video stream yields; whichever way
it is read, its pixels are the same to the bit. There are two ways:

Selective. One pass over the packets, without decoding, tells which packet holds which frame and
where decoding can start. A read then decodes the groups of pictures that hold a wanted frame, from
their key frame to the last wanted one, and lets the decoder skip the unwanted frames that no other
frame refers to.

Full. Containers lie: AVI has no presentation times, some packets hold no frame, flags and time
stamps are wrong. Where the packets give a reason for doubt (see packets.py), or a selective read
meets a surprise, the file is decoded from its beginning and the frames are counted as they come.
That needs no trust and is slower (2 to 8 times), since beside the scan's the file is opened again,
and decoded to its end, to count the frames, unless the packets were trusted to tell; and again for
every read, which decodes it up to the last wanted frame.

One lie is met late. A packet that looks like a frame and yields none goes unnoticed until it is
wanted, or the decoder objects; until then, the frames after it are numbered as if it held one.

Either way only the wanted frames are converted to RGB, and on one thread: workers are parallel
across videos.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from timesformer.datasets.packets import Layout, Run, scan
from timesformer.datasets.reader import UnreadableVideo

# FFmpeg's own messages would go to the terminal; what matters of them is in our exceptions.
av.logging.set_level(av.logging.PANIC)

# Codecs in which "not a reference" is a property of the picture itself. In HEVC it only holds
# within a temporal layer, and skipped VP8 and VP9 frames still change the decoder's state.
_SKIPPABLE_CODECS = ("h264", "mpeg4")

# For streams that state no rate at all, which is rare (raw streams): the usual rate of web video.
_FALLBACK_FPS = 30.0


class VideoReader:
    """An open video file that hands out frames by index; a context manager.

    Attributes:
        path: the file, as given.
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

    def __init__(self, path: str) -> None:
        self.path = path
        self._container, self._stream = _open(path, lenient=False)
        try:
            self._layout: Layout | None = _scan(path, self._container, self._stream)
            self.num_frames = self._layout.num_frames if self._layout else _count_frames(path)
            if self.num_frames == 0:
                raise UnreadableVideo(path, "it holds no frame")
        except BaseException:
            self.close()
            raise
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or _FALLBACK_FPS)
        self.ticks_per_frame = _ticks_per_frame(self._stream, self.num_frames)

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
        pictures = self._read_distinct(wanted)
        return _stack(self.path, [pictures[index] for index in indices])

    def close(self) -> None:
        """Close the file. Reading afterwards is an error."""
        self._container.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _read_distinct(self, wanted: set[int]) -> dict[int, np.ndarray]:
        if self._layout is not None:
            try:
                return _read_selected(
                    self.path, self._container, self._stream, self._layout, wanted
                )
            except (_Surprise, av.FFmpegError):
                # A lying key frame flag and damage look alike. The full decode tells them apart,
                # and stays in use for this file.
                self._layout = None
        return _read_counted(self.path, wanted)


def decode_all(path: str) -> np.ndarray:
    """Every frame of a video as RGB, uint8 (N, H, W, 3): what `VideoReader.read` is tested against.

    Raises:
        UnreadableVideo: as `VideoReader`; the decoder failed anywhere.
    """
    reformatter = VideoReformatter()
    pictures = [_to_rgb(path, frame, reformatter) for frame in _decode(path)]
    if not pictures:
        raise UnreadableVideo(path, "it holds no frame")
    return _stack(path, pictures)


class _Surprise(Exception):  # noqa: N818 - caught here, and no error: the full way follows
    """A selective read met something that the scan of the packets did not promise."""


@contextmanager
def _errors_named(path: str) -> Iterator[None]:
    try:
        yield
    except av.FFmpegError as error:
        raise UnreadableVideo(path, error.strerror or type(error).__name__) from error


def _open(path: str, *, lenient: bool) -> tuple[InputContainer, VideoStream]:
    with _errors_named(path):
        # Titles and the like are not always the UTF-8 they claim to be, and nobody reads them.
        container = av.open(path, metadata_errors="ignore")
    stream = container.streams.best("video")
    # FFmpeg would draw a text file as frames of a terminal.
    if not isinstance(stream, VideoStream) or container.format.name == "tty":
        container.close()
        raise UnreadableVideo(path, "it has no video stream")
    if stream.codec_context is None:  # PyAV's types do not say so
        container.close()
        raise UnreadableVideo(path, "no decoder is known for its video stream")
    for other in container.streams:
        other.discard = Discard.default if other is stream else Discard.all
    stream.codec_context.thread_count = 1
    if not lenient:
        # Damage that FFmpeg would patch up from the frames before it must show: a selective read
        # has other frames before it. This costs open H.264 groups, entered in mid-stream, the
        # selective way, since their leftover reference marks count as damage.
        stream.codec_context.options = {"err_detect": "explode"}
    return container, stream


def _packets(
    path: str, container: InputContainer, stream: VideoStream
) -> Iterator[Packet[VideoStream]]:
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise UnreadableVideo(path, "it is damaged, or ends in the middle of a frame")
        if packet.size:  # an empty one marks the end
            yield packet


def _ticks_per_frame(stream: VideoStream, num_frames: int) -> float | None:
    return stream.duration / (stream.frames or num_frames) if stream.duration else None


# --- the selective way ----------------------------------------------------------------------------


def _scan(path: str, container: InputContainer, stream: VideoStream) -> Layout | None:
    with _errors_named(path):
        return scan(container, stream, _packets(path, container, stream))


def _read_selected(
    path: str, container: InputContainer, stream: VideoStream, layout: Layout, wanted: set[int]
) -> dict[int, np.ndarray]:
    """The frames `wanted` by index; `_Surprise` where the file is not as the layout says."""
    packets = {layout.frame_packets[index]: index for index in wanted}
    index_at = {layout.pts[packet]: index for packet, index in packets.items()}
    reformatter = VideoReformatter()
    pictures = {}
    container.seek(layout.start, stream=stream)
    numbered = enumerate(_packets(path, container, stream))
    for run in layout.runs(packets):
        frames = _decode_run(stream.codec_context, numbered, layout, run, packets)
        for frame in _checked(frames, layout.pts[run.first]):
            if frame.pts in index_at:
                pictures[index_at[frame.pts]] = _to_rgb(path, frame, reformatter)
    if len(pictures) < len(wanted):
        raise _Surprise
    return pictures


def _decode_run(
    decoder: VideoCodecContext,
    numbered: Iterator[tuple[int, Packet[VideoStream]]],
    layout: Layout,
    run: Run,
    wanted: Container[int],
) -> Iterator[VideoFrame]:
    """Decode the packets of `run`, taken from `numbered`; some unwanted frames do not come out."""
    can_skip = decoder.codec.canonical_name in _SKIPPABLE_CODECS
    decoder.flush_buffers()
    for number, packet in numbered:
        if packet.pts != layout.pts[number]:
            raise _Surprise
        if number < run.first:
            continue
        is_needed = number == run.first or number in wanted
        decoder.skip_frame = "NONREF" if can_skip and not is_needed else "DEFAULT"
        yield from decoder.decode(packet)
        if number == run.last:
            break
    yield from decoder.decode(None)


def _checked(frames: Iterator[VideoFrame], entry: int) -> Iterator[VideoFrame]:
    """Pass `frames` on while they ascend in time, and that of time `entry` is a true key frame.

    The MPEG-4 decoder starts anywhere, with whatever picture it has. The others fail, or skip ahead
    to a true key frame, and do not always yield the first: an edit list may discard it.
    """
    previous = None
    for frame in frames:
        if frame.pts is None or (previous is not None and frame.pts <= previous):
            raise _Surprise
        previous = frame.pts
        if frame.pts == entry and not frame.key_frame:
            raise _Surprise
        yield frame


# --- the full way ---------------------------------------------------------------------------------


def _decode(path: str) -> Generator[VideoFrame, None, None]:
    """Every frame of the file, from a decoder and a container that nobody has touched."""
    container, stream = _open(path, lenient=True)
    with container, _errors_named(path):
        for packet in _packets(path, container, stream):
            yield from stream.codec_context.decode(packet)
        yield from stream.codec_context.decode(None)


def _count_frames(path: str) -> int:
    return sum(1 for _ in _decode(path))


def _read_counted(path: str, wanted: set[int]) -> dict[int, np.ndarray]:
    reformatter = VideoReformatter()
    pictures = {}
    num_decoded = 0
    with closing(_decode(path)) as frames:
        for index, frame in enumerate(islice(frames, max(wanted) + 1)):
            num_decoded = index + 1
            if index in wanted:
                pictures[index] = _to_rgb(path, frame, reformatter)
    if num_decoded <= max(wanted):
        # Not the last frame in its place: the number of frames that the caller went by was wrong,
        # most often by damage, and a repeated frame would tell nobody.
        raise UnreadableVideo(
            path,
            f"frame {max(wanted)} is missing: its packets promise more than the {num_decoded} "
            "frames that decode",
        )
    return pictures


# --- pictures -------------------------------------------------------------------------------------


def _to_rgb(path: str, frame: VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
    quarter_turns, rest = divmod(frame.rotation, 90)
    if rest:
        raise UnreadableVideo(path, f"it is rotated by {frame.rotation} degrees, not by quarters")
    # One thread: by default every conversion would start as many as the machine has cores.
    picture = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
    return np.rot90(picture, quarter_turns)


def _stack(path: str, pictures: list[np.ndarray]) -> np.ndarray:
    sizes = {picture.shape for picture in pictures}
    if len(sizes) > 1:
        raise UnreadableVideo(path, f"its picture size changes: {sorted(sizes)}")
    return np.stack(pictures)
