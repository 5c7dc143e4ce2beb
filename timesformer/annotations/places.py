"""What a path of a video list may name: a file, a folder, some frames of it, a part of a tar.

``clips/a.mp4``                       a video file
``clips/a``                           a folder of frames, in the order of their names
``clips/a/img_[00001-00117].jpg``     frames 1 to 117 of a folder, which nobody needs to list
``train-000003.tar#a.mp4@1536+48213`` the 48,213 bytes from byte 1,536 on of a tar file, `a.mp4`
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

VIDEO_EXTENSIONS = (
    *(".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".mts", ".m2ts"),
    *(".ts", ".wmv", ".flv", ".3gp", ".ogv", ".vob", ".asf", ".divx", ".y4m"),
)
IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

_FRAME_RANGE = re.compile(r"(?P<before>.*)\[(?P<first>\d+)-(?P<last>\d+)\](?P<after>[^/]*)")
_TAR_MEMBER = re.compile(r"(?P<tar>.+\.tar)#(?P<name>.*)@(?P<offset>\d+)\+(?P<size>\d+)")


@dataclass(frozen=True)
class FrameRange:
    """The frames `first` to `last`, inclusive, written with at least `digits` digits."""

    before: str
    first: int
    last: int
    digits: int
    after: str

    def __str__(self) -> str:
        first, last = (f"{number:0{self.digits}d}" for number in (self.first, self.last))
        return f"{self.before}[{first}-{last}]{self.after}"

    def files(self) -> list[str]:
        """The path of each frame, in order."""
        numbers = range(self.first, self.last + 1)
        return [self.before + str(n).zfill(self.digits) + self.after for n in numbers]


@dataclass(frozen=True)
class TarMember:
    """`size` bytes of the file or address `tar`, from byte `offset` on: the video `name`."""

    tar: str
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.tar}#{self.name}@{self.offset}+{self.size}"


def frame_range(path: str) -> FrameRange | None:
    """What `path` says, or None if it names no range of images: videos may be called ``a[1-2]``."""
    if "[" not in path or not path.lower().endswith(IMAGE_EXTENSIONS):
        return None
    if (match := _FRAME_RANGE.fullmatch(path)) is None:
        return None
    first, last = match["first"], match["last"]
    return FrameRange(match["before"], int(first), int(last), len(first), match["after"])


def tar_member(path: str) -> TarMember | None:
    """What `path` says, or None if it names no part of a tar file."""
    if ".tar#" not in path or (match := _TAR_MEMBER.fullmatch(path)) is None:
        return None
    return TarMember(match["tar"], match["name"], int(match["offset"]), int(match["size"]))


def exists(path: str) -> bool:
    """Whether the file or folder is there; addresses are not asked, and count as there."""
    if "://" in path or os.path.exists(path):
        return True
    if (member := tar_member(path)) is not None:
        return os.path.exists(member.tar)
    return (frames := frame_range(path)) is not None and os.path.exists(frames.files()[0])


def without_extension(path: str) -> str:
    """`path`, less its extension if that is one of a video."""
    base, extension = os.path.splitext(path)
    return base if extension.lower() in VIDEO_EXTENSIONS else path


def natural_order(name: str) -> tuple[list[str | int], str]:
    """A key that orders ``frame_9.jpg`` before ``frame_10.jpg``: text and numbers in turn.

    Of names with the same ones (``9.jpg``, ``09.jpg``), the names themselves decide.
    """
    parts = re.split(r"(\d+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name
