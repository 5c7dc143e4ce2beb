"""What is known of a video after it was decoded to its end."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence

import av

from timesformer.annotations.places import exists, tar_member
from timesformer.datasets.decode import VideoReader
from timesformer.datasets.reader import Reader
from timesformer.errors import UnreadableVideo
from timesformer.preparation.clips import Clip, contents
from timesformer.preparation.facts import Facts
from timesformer.preparation.header import Header, read_header
from timesformer.preparation.pictures import frames_of, one_by_one, open_whole


def probe(frames_fps: float, clips: Sequence[Clip]) -> Facts:
    """Decode a video of which `clips` are parts, all of it, and look at its bytes."""
    path = clips[0].path
    if not exists(path):
        return Facts("missing")
    try:
        with open_whole(path, frames_fps=frames_fps) as reader:
            return _facts(reader, clips)
    except UnreadableVideo as error:
        return Facts(f"unreadable: {error.reason}")
    except OSError as error:
        return Facts(f"unreadable: {error.strerror}")


def _facts(reader: Reader, clips: Sequence[Clip]) -> Facts:
    frames, (height, width) = _decode(reader)
    source = reader.source if isinstance(reader, VideoReader) else None
    header = read_header(source) if source else Header("", "")
    digest, size = _digest([source.data] if source and source.data else contents(reader.path))
    return Facts(
        clip_frames=tuple(_length(reader, clip) for clip in clips),
        frames=frames,
        fps=reader.fps,
        width=width,
        height=height,
        bytes=size,
        digest=digest,
        container=header.container,
        codec=header.codec,
        gap=header.gap,
        is_misnamed=_is_misnamed(reader.path, header.container),
    )


def _decode(reader: Reader) -> tuple[int, tuple[int, int]]:
    """Frames, and their height and width."""
    frames, size = 0, (0, 0)
    for picture, _ in one_by_one(reader, 0, None):
        frames, size = frames + 1, picture.shape[:2]
    return frames, size


def _length(reader: Reader, clip: Clip) -> int:
    try:
        first, end = frames_of(reader, clip)
    except UnreadableVideo:
        return 0
    return end - first


def _is_misnamed(path: str, container: str) -> bool:
    """Whether the ending of `path` is none of those that FFmpeg knows for the container.

    Formats for which it knows none, as MPEG's, are taken at their word.
    """
    member = tar_member(path)
    extension = os.path.splitext(member.name if member else path)[1].lower().lstrip(".")
    known = av.ContainerFormat(container.split(",")[0], "r").extensions if container else set()
    if "mp4" in known:
        known = known | {"m4v"}
    return bool(known) and extension not in known


def _digest(pieces: Iterable[bytes]) -> tuple[str, int]:
    digest, size = hashlib.blake2b(digest_size=16), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size
