"""Where the videos lie, when a list gives their names alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence

from timesformer.annotations.places import without_extension
from timesformer.annotations.tree import find_videos
from timesformer.errors import UserError

log = logging.getLogger("timesformer")


def stem(path: str) -> str:
    """The last part of `path`, without the extension if that is one of a video."""
    return without_extension(os.path.basename(path))


def find_below(
    folder: str, wanted: Collection[str], name_of: Callable[[str], str]
) -> dict[str, str]:
    """For each wanted name that a video below `folder` has: the video, relative to `folder`.

    `name_of` says the name of a relative path. Of several videos of one name the first one counts,
    in the natural order of paths, and the log says so. A folder of frames is a video too.
    """
    found: dict[str, str] = {}
    others: list[str] = []
    for path in find_videos(_checked(folder)).videos:
        name = name_of(path)
        if name in wanted and found.setdefault(name, path) != path:
            others.append(path)
    if others:
        log.warning(
            "%d videos below %s have the name of another one and are not used, such as %s",
            len(others),
            folder,
            others[0],
        )
    return found


def find_in(folder: str, names: Sequence[str]) -> list[str]:
    """What lies in `folder` itself under each name: a folder of frames, or else a video file.

    One listing instead of a question for each name, which takes minutes on a network disk. A name
    under which nothing lies comes back as it is.
    """
    wanted = set(names)
    entries: dict[str, str] = {}
    for entry in sorted(os.listdir(_checked(folder))):
        if (name := stem(entry)) in wanted:
            entries.setdefault(name, entry)
    return [entries.get(name, name) for name in names]


def find_alike(folder: str, paths: Sequence[str]) -> list[str]:
    """The relative `paths` as they are written in `folder`, should case or extension differ there.

    So ``a/x.avi`` may be the folder of frames ``a/x``. A path like no video there comes back as it
    is.
    """
    present = find_videos(_checked(folder)).videos
    exact, alike = set(present), {_plain(path): path for path in reversed(present)}
    return [path if path in exact else alike.get(_plain(path), path) for path in paths]


def _plain(path: str) -> str:
    return without_extension(path).casefold()


def _checked(folder: str) -> str:
    if not os.path.isdir(folder):
        raise UserError(
            f"DATA.PATH_PREFIX '{folder}' is not a folder. Set it to the folder of the videos."
        )
    return folder
