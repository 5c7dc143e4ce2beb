"""Take the layout of a video from its container's index, without reading a single packet.

MP4 and AVI begin or end with a table of their packets. FFmpeg hands it out with the times of
decoding; the times of presentation are those where nothing is reordered, and in an MP4 that
reorders stand in its box ``ctts``, which is read here (ISO 14496-12, 8.6.1.3).

For a video of hours this is the difference between reading its index and reading all of it. Where
the index is not complete beyond doubt, the answer is None, and the packets are read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import chain
from operator import attrgetter
from typing import BinaryIO, NamedTuple

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from timesformer.datasets.packets import Facts, Layout, ascends, layout_of, may_trust

# Flags of FFmpeg's index entries (AVINDEX_KEYFRAME, AVINDEX_DISCARD_FRAME).
_KEYFRAME, _DISCARDED = 1, 2


def indexed(
    container: InputContainer, stream: VideoStream, open_file: Callable[[], BinaryIO]
) -> Layout | None:
    """The layout of `stream` by the index of its `container`; None where that leaves a doubt.

    `open_file` opens the file that the container is.
    """
    context = stream.codec_context
    # Matroska's index holds key frames only, and a VP8 packet has to be looked into.
    is_avi = container.format.name == "avi"
    has_index = is_avi or container.format.name.startswith("mov")
    if not has_index or context.codec.canonical_name == "vp8" or not may_trust(container, context):
        return None
    entries = _entries(stream)
    if not _is_complete(entries, stream.frames, container.size):
        return None
    if is_avi:
        offsets: np.ndarray | None = np.zeros_like(entries.pos)
    else:
        with open_file() as file:
            offsets = _reordering(file, container.size, stream.id, len(entries.pos))
    if offsets is None:
        return None
    header = 8 if is_avi else 0  # of each packet, which the index points to
    facts = Facts(
        pts=entries.timestamp + offsets,
        places=entries.pos + header,
        sizes=entries.size,
        is_keyframe=entries.flags & _KEYFRAME != 0,
        is_shown=entries.flags & _DISCARDED == 0,
    )
    return layout_of(facts, context)


class _Entries(NamedTuple):
    """FFmpeg's index, a column each, int64; `timestamp` is the time of decoding."""

    timestamp: np.ndarray
    pos: np.ndarray
    size: np.ndarray
    flags: np.ndarray


def _entries(stream: VideoStream) -> _Entries:
    values = chain.from_iterable(map(attrgetter(*_Entries._fields), stream.index_entries))
    return _Entries(*np.fromiter(values, dtype=np.int64).reshape(-1, 4).T)


def _is_complete(entries: _Entries, promised: int, file_size: int) -> bool:
    """Whether the header promises as many packets, and the file is long enough to hold them."""
    return (
        0 < len(entries.pos) == promised
        and entries.size.min() > 0
        and (entries.pos + entries.size).max() <= file_size
        and ascends(entries.timestamp)
    )


# --- boxes of an MP4 ------------------------------------------------------------------------------


def _reordering(file: BinaryIO, file_size: int, track: int, num_packets: int) -> np.ndarray | None:
    """Ticks from decoding to presentation, for each packet; None where the boxes leave a doubt."""
    boxes = list(_boxes(file, _Box(b"", 0, file_size)))
    # Fragments hold packets that are in no index before they are read.
    if any(box.kind == b"moof" for box in boxes):
        return None
    table = _sample_table(file, boxes, track)
    offsets = _composition_offsets(file, table, num_packets) if table else None
    if offsets is None:
        return None
    # Negative offsets: FFmpeg makes all times of decoding earlier by the largest of them.
    return offsets + max(0, -int(offsets.min()))


class _Box(NamedTuple):
    """A box of an MP4: its name, and where its content starts and ends in the file."""

    kind: bytes
    start: int
    end: int


def _boxes(file: BinaryIO, parent: _Box) -> Iterator[_Box]:
    place = parent.start
    while place + 8 <= parent.end:
        file.seek(place)
        size, kind, long_size = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        header = 16 if size == 1 else 8
        size = {0: parent.end - place, 1: long_size}.get(size, size)
        if size < header:
            return
        yield _Box(kind, place + header, min(place + size, parent.end))
        place += size


def _sample_table(file: BinaryIO, boxes: list[_Box], track: int) -> _Box | None:
    for movie in boxes:
        for trak in _boxes(file, movie) if movie.kind == b"moov" else ():
            if trak.kind == b"trak" and _track_id(file, trak) == track:
                return _inside(file, trak, b"mdia", b"minf", b"stbl")
    return None


def _inside(file: BinaryIO, box: _Box, *path: bytes) -> _Box | None:
    found: _Box | None = box
    for kind in path:
        inner = _boxes(file, found) if found else ()
        found = next((box for box in inner if box.kind == kind), None)
    return found


def _track_id(file: BinaryIO, trak: _Box) -> int | None:
    header = _inside(file, trak, b"tkhd")
    content = _content(file, header) if header else b""
    # Two times come before it, of four bytes each, or of eight in version 1.
    place = 20 if content[:1] == b"\1" else 12
    return int.from_bytes(content[place : place + 4], "big") if content else None


def _composition_offsets(file: BinaryIO, table: _Box, num_packets: int) -> np.ndarray | None:
    """From decoding to presentation, for each packet; None where they are not so many."""
    box = _inside(file, table, b"ctts")
    if box is None:
        return np.zeros(num_packets, dtype=np.int64)
    content = _content(file, box)
    end = 8 + 8 * int.from_bytes(content[4:8], "big")
    if len(content) < end:
        return None
    counts, offsets = np.frombuffer(content[8:end], dtype=">i4").reshape(-1, 2).T.astype(np.int64)
    if (counts < 0).any() or counts.sum() != num_packets:
        return None
    return np.repeat(offsets, counts)


def _content(file: BinaryIO, box: _Box) -> bytes:
    file.seek(box.start)
    return file.read(box.end - box.start)
