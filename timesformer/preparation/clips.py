"""What a data set consists of: its distinct clips, and a name for each of what is made of them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from timesformer.annotations.places import VIDEO_EXTENSIONS, frame_range, tar_member
from timesformer.annotations.remote import is_address
from timesformer.annotations.table import VideoList
from timesformer.datasets.frame_folder import FrameFolder

_CHUNK = 1 << 20
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # the last are bytes that are no UTF-8


@dataclass(frozen=True)
class Clip:
    """A video, or the part of it from `start` to `end` seconds (None: its own ends)."""

    path: str
    start: float | None = None
    end: float | None = None

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return self.path
        return f"{self.path} ({self.start or 0:g} s to {self.end or math.inf:g} s)"


def clips_of(videos: VideoList) -> list[Clip]:
    """One for each line of the list, with absolute paths, or addresses."""
    if videos.spans is None:
        return [Clip(_absolute(path)) for path in videos.paths]
    return [
        Clip(_absolute(path), _seconds(start), _seconds(end))
        for path, (start, end) in zip(videos.paths, videos.spans, strict=True)
    ]


def distinct(lists: Mapping[str, Sequence[Clip]]) -> list[Clip]:
    """The clips of all splits, each once, in the order of the lists."""
    return list(dict.fromkeys(clip for clips in lists.values() for clip in clips))


def _absolute(path: str) -> str:
    return path if is_address(path) else os.path.abspath(path)


def _seconds(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


# --- names ----------------------------------------------------------------------------------------


def name_outputs(clips: Collection[Clip], extension: str) -> dict[Clip, str]:
    """A relative path for each: that of the source below the folder that all share.

    Clips that would share a name are told apart by ``-2``, ``-3``, … in the order of their paths,
    so the names depend on nothing but the set of clips.
    """
    stems = {clip: _stem(clip) for clip in sorted(clips, key=_order)}
    shared = os.path.commonpath([os.path.dirname(stem) for stem in stems.values()])
    wanted = {clip: _printable(os.path.relpath(stem, shared)) for clip, stem in stems.items()}
    # A name that is also a folder of others cannot be a file, or a folder of frames, itself.
    taken = {folder for name in wanted.values() for folder in _folders(name)}
    names: dict[Clip, str] = {}
    for clip, name in wanted.items():
        names[clip] = next(n for n in _alternatives(name, extension) if n not in taken)
        taken.add(names[clip])
    return names


def _order(clip: Clip) -> tuple[str, float, float]:
    return clip.path, clip.start or 0.0, clip.end or math.inf


def _stem(clip: Clip) -> str:
    """The path of the source without its ending, and with the span of a part.

    Whether a path without an ending is a folder is not asked: a look at the disk for each is dear.
    """
    path = clip.path
    if (member := tar_member(path)) is not None:
        path = f"{member.tar.removesuffix('.tar')}/{member.name}"
    if (frames := frame_range(path)) is not None:
        path = f"{frames.before}{frames.first:0{frames.digits}d}-{frames.last:0{frames.digits}d}"
    stem, extension = os.path.splitext(path)
    if extension.lower() not in VIDEO_EXTENSIONS:
        stem = path
    if is_address(stem):
        stem = f"/{stem.partition('://')[2].lstrip('/')}"
    if clip.start is None and clip.end is None:
        return stem
    end = "end" if clip.end is None else f"{clip.end:010.3f}"
    return f"{stem}_{clip.start or 0:010.3f}-{end}"


def is_listable(path: str) -> bool:
    """Whether a line of a list can hold the path, and gives the same back."""
    return path == path.strip() and not _UNPRINTABLE.search(path)


def _printable(name: str) -> str:
    """A name that any list can hold, of a clip whose path may be another matter."""
    name = _UNPRINTABLE.sub("_", name)
    return "/".join(part.strip() or "_" for part in name.split("/"))


def _folders(name: str) -> Iterator[str]:
    while name := os.path.dirname(name):
        yield name


def _alternatives(name: str, extension: str) -> Iterator[str]:
    yield f"{name}{extension}"
    number = 1
    while number := number + 1:
        yield f"{name}-{number}{extension}"


# --- bytes ----------------------------------------------------------------------------------------


def stamp(path: str) -> list[int]:
    """Size and time of change of the file or folder that holds a video.

    [] if it is not there, or at an address: what lies there is told apart by its name alone.
    """
    if (member := tar_member(path)) is not None:
        path = member.tar
    elif (frames := frame_range(path)) is not None:
        path = os.path.dirname(frames.before)
    try:
        status = os.stat(path)
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def size_of(path: str) -> int:
    """Bytes of a video: of its file, its part of a tar, or all its images."""
    if (member := tar_member(path)) is not None:
        return member.size
    return sum(os.path.getsize(file) for file in _files(path))


def contents(path: str) -> Iterator[bytes]:
    """The bytes of a file, or of all images of a folder, piece by piece."""
    for name in _files(path):
        with open(name, "rb") as file:  # noqa: PTH123 - paths are strings throughout
            while piece := file.read(_CHUNK):
                yield piece


def _files(path: str) -> Iterable[str]:
    if frame_range(path) is not None or os.path.isdir(path):
        return FrameFolder(path, fps=1).files
    return [path]
