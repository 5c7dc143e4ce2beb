"""What is known of a video after it was decoded to its end."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import av

from timesformer.annotations.places import exists, tar_member
from timesformer.datasets.opening import Source, open_stream
from timesformer.datasets.reader import Reader
from timesformer.errors import UnreadableVideo
from timesformer.preparation.clips import Clip, contents
from timesformer.preparation.facts import Facts
from timesformer.preparation.pictures import frames_of, one_by_one, open_whole

_HEAD = 512  # bytes that tell whether a file is text


def probe(frames_fps: float, clips: Sequence[Clip]) -> Facts:
    """Decode a video of which `clips` are parts, all of it, and look at its bytes."""
    path = clips[0].path
    if not exists(path):
        return Facts("missing")
    try:
        with open_whole(path, frames_fps=frames_fps) as reader:
            return _facts(reader, clips)
    except UnreadableVideo as error:
        return Facts(f"unreadable: {_what_it_is(path) or error.reason}")
    except OSError as error:
        return Facts(f"unreadable: {error.strerror}")


def _facts(reader: Reader, clips: Sequence[Clip]) -> Facts:
    path = clips[0].path
    frames, (height, width) = _decode(reader)
    if frames < reader.num_frames:
        raise UnreadableVideo(
            path, f"its packets promise {reader.num_frames} frames, and {frames} decode"
        )
    container, codec = _container(path)
    digest, size = _digest(path)
    return Facts(
        clip_frames=tuple(_length(reader, clip) for clip in clips),
        frames=frames,
        fps=reader.fps,
        width=width,
        height=height,
        bytes=size,
        digest=digest,
        container=container,
        codec=codec,
        is_misnamed=_is_misnamed(path, container),
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
    return (reader.num_frames if end is None else end) - first


def _container(path: str) -> tuple[str, str]:
    """Names of the container and the codec of a file."""
    if not os.path.isfile(path):
        return "", ""
    container, stream = open_stream(Source(path), lenient=True)
    with container:
        return container.format.name, stream.codec_context.codec.canonical_name


def _is_misnamed(path: str, container: str) -> bool:
    """Whether the ending of `path` is none of those that FFmpeg knows for the container.

    Formats for which it knows none, as MPEG's, are taken at their word.
    """
    known = av.ContainerFormat(container.split(",")[0], "r").extensions if container else set()
    if "mp4" in known:
        known = known | {"m4v"}
    return bool(known) and os.path.splitext(path)[1].lower().lstrip(".") not in known


def _digest(path: str) -> tuple[str, int]:
    digest, size = hashlib.blake2b(digest_size=16), 0
    for piece in contents(path):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def _what_it_is(path: str) -> str:
    """Says so where an unreadable file is empty, or text: most often the page of an error."""
    if tar_member(path) is not None or not os.path.isfile(path):
        return ""
    with open(path, "rb") as file:  # noqa: PTH123 - paths are strings throughout
        head = file.read(_HEAD)
    if not head:
        return "it is empty"
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        first = head.decode("utf-8", "replace").split("\n")[0].strip()
        return f"it is text: '{first[:60]}'"
    return ""
