"""Open a video, from a file or from memory, so that nothing in it can stop the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream

from timesformer.errors import UnreadableVideo

# FFmpeg's own messages would go to the terminal; what matters of them is in our exceptions.
av.logging.set_level(av.logging.PANIC)


@dataclass(frozen=True)
class Source:
    """Where the bytes of a video are: in the file `path`, or in `data`, which `path` then names."""

    path: str
    data: bytes | None = None

    def open(self) -> BinaryIO:
        """The bytes, from their beginning; the caller closes it."""
        return Path(self.path).open("rb") if self.data is None else BytesIO(self.data)

    @contextmanager
    def errors_named(self) -> Iterator[None]:
        """Turn what FFmpeg or the system raises into an `UnreadableVideo` of this source."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise UnreadableVideo(self.path, error.strerror or type(error).__name__) from error


def open_stream(source: Source, *, lenient: bool) -> tuple[InputContainer, VideoStream]:
    """Open the best video stream of `source`, on one thread; the caller closes the container.

    Args:
        source: what to open.
        lenient: whether FFmpeg may patch up damaged pictures from the ones before them.

    Raises:
        UnreadableVideo: there is no such file, or nothing in it that can be decoded as video.
    """
    container = _open_container(source)
    stream = container.streams.best("video")
    # FFmpeg would draw a text file as frames of a terminal.
    if not isinstance(stream, VideoStream) or container.format.name == "tty":
        container.close()
        raise UnreadableVideo(source.path, "it has no video stream")
    if stream.codec_context is None:  # PyAV's types do not say so
        container.close()
        raise UnreadableVideo(source.path, "no decoder is known for its video stream")
    for other in container.streams:
        other.discard = Discard.default if other is stream else Discard.all
    stream.codec_context.thread_count = 1
    if not lenient:
        # Damage that FFmpeg would patch up from the frames before it must show: a selective read
        # has other frames before it. This costs open H.264 groups, entered in mid-stream, the
        # selective way, since their leftover reference marks count as damage.
        stream.codec_context.options = {"err_detect": "explode"}
    return container, stream


def packets_of(
    source: Source, container: InputContainer, stream: VideoStream
) -> Iterator[Packet[VideoStream]]:
    """The packets of `stream` from where `container` stands.

    Raises:
        UnreadableVideo: one of them is cut short.
    """
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise UnreadableVideo(source.path, "it is damaged, or ends in the middle of a frame")
        if packet.size:  # an empty one marks the end
            yield packet


def _open_container(source: Source) -> InputContainer:
    if source.data is None and os.path.exists(source.path) and not os.path.isfile(source.path):
        # To open a pipe or a device could take for ever.
        raise UnreadableVideo(source.path, "it is a folder, a pipe or a device, and not a file")
    with source.errors_named():
        # Titles and the like are not always the UTF-8 they claim to be, and nobody reads them.
        file = source.path if source.data is None else BytesIO(source.data)
        return av.open(file, "r", metadata_errors="ignore")
