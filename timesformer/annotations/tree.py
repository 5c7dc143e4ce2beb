"""What lies below a folder: videos, folders of frames, and what is neither."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field

from timesformer.annotations.places import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, natural_order
from timesformer.errors import UserError

_OF_THE_DISK = "lost+found"  # of any ext4 disk; only its administrator may look into it


@dataclass
class Found:
    """What lies below a folder, by paths relative to it, with ``/``.

    Attributes:
        videos: video files and folders of frames, in natural order.
        folders: every folder that was looked into.
        empty: those that hold nothing of use.
        loops: links back to a folder above them, which are not followed.
        ignored: how many files there are of each extension that is no video's.
    """

    videos: list[str] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    empty: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def find_videos(folder: str) -> Found:
    """Look through `folder`, following links; hidden files and folders are passed over.

    A folder that holds images, and neither videos nor folders, is a video: a folder of frames.

    Raises:
        UserError: a folder cannot be read.
    """
    found = Found()
    _look_into(folder, "", frozenset(), found)
    found.videos.sort(key=natural_order)
    return found


def _look_into(root: str, inside: str, above: frozenset[tuple[int, int]], found: Found) -> None:
    """Add what lies in ``root/inside``; `above` identifies the folders that lead to it."""
    identity, folders, videos, others = _entries(os.path.join(root, inside) if inside else root)
    if identity in above:
        found.loops.append(inside)
        return
    found.folders.add(inside)
    found.videos.extend(_join(inside, name) for name in videos)
    is_leaf = not folders and not videos
    if inside and is_leaf and any(name.lower().endswith(IMAGE_EXTENSIONS) for name in others):
        found.videos.append(inside)
        return
    if is_leaf:
        found.empty.append(inside)
    found.ignored.update(os.path.splitext(name)[1].lower() or "no extension" for name in others)
    for name in folders:
        _look_into(root, _join(inside, name), above | {identity}, found)


def _entries(folder: str) -> tuple[tuple[int, int], list[str], list[str], list[str]]:
    """What identifies a folder, and the names of the folders, videos and other files in it."""
    folders, videos, others = [], [], []
    try:
        status = os.stat(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == _OF_THE_DISK:
                    continue
                if _is_folder(entry):
                    folders.append(entry.name)
                elif entry.name.lower().endswith(VIDEO_EXTENSIONS):
                    videos.append(entry.name)
                else:
                    others.append(entry.name)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be read: {error.strerror}.") from None
    return (status.st_dev, status.st_ino), folders, videos, others


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; as a video it will be named as unreadable
        return False


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
