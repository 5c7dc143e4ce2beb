"""PySlowFast's lists of frames: ``original_vido_id video_id frame_id path labels``, one a line.

That of Something-Something V2 has 19 million lines, so it is read in one go and kept as ranges.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from timesformer.annotations.places import FrameRange
from timesformer.annotations.table import first_line, not_text
from timesformer.errors import UserError

log = logging.getLogger("timesformer")

# The published header has this slip of the pen; lists of one's own may not.
_HEADERS = ("original_vido_id", "original_video_id")
_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>\d+)(?P<after>[^\d/]*)")


def is_frame_list(path: Path) -> bool:
    """Whether the file begins like one."""
    return first_line(path).split()[:1] in [[header] for header in _HEADERS]


def read_frame_list(path: Path) -> dict[str, str]:
    """The place (see `annotations.places`) of each video's frames, relative to the frames' root.

    Frames that are numbered in a row become a range, others the folder they lie in.

    Raises:
        UserError: a line has not its five columns, a video's lines do not stand together, or its
            frames lie in several folders.
    """
    found: dict[str, str] = {}
    whole_folders = 0
    for line, video, frames in _videos(path):
        where = f"{path}, line {line}: video {video}"
        if video in found:
            raise UserError(f"{where} came up before. Its lines must stand together; sort the file")
        place = _in_a_row(frames)
        whole_folders += place is None
        found[video] = place or _common_folder(frames, where)
    if not found:
        raise UserError(f"{path} lists no frames: there is nothing below its header.")
    if whole_folders:
        log.warning(
            "%d videos of %s have frames that are not numbered in a row; all images of their "
            "folders are used",
            whole_folders,
            path,
        )
    return found


def _videos(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Line of the first frame, video and frames, for each run of lines of one video."""
    with path.open(encoding="utf-8-sig") as file:
        next(file)
        first_line = 2
        try:
            for video, lines in groupby(filter(None, map(str.split, file)), key=itemgetter(0)):
                frames = list(map(itemgetter(3), lines))
                yield first_line, video, frames
                first_line += len(frames)
        except IndexError:
            raise UserError(
                f"{path}, line {_short_line(path)} has not the columns of the header."
            ) from None
        except UnicodeDecodeError as error:
            raise not_text(path, error.reason) from None


def _short_line(path: Path) -> int:
    with path.open(encoding="utf-8") as file:
        return next(line for line, text in enumerate(file, start=1) if 0 < len(text.split()) < 4)


def _in_a_row(frames: list[str]) -> str | None:
    """The range of frames that `frames` is, or None."""
    match = _NUMBERED.fullmatch(frames[0])
    if match is None:
        return None
    first = int(match["number"])
    last = first + len(frames) - 1
    numbers = FrameRange(match["before"], first, last, len(match["number"]), match["after"])
    return str(numbers) if numbers.files() == frames else None


def _common_folder(frames: list[str], where: str) -> str:
    folders = sorted({os.path.dirname(frame) for frame in frames})
    if len(folders) > 1:
        raise UserError(
            f"{where} has frames in {len(folders)} folders, such as {folders[0]} and {folders[1]}. "
            "The frames of a video must lie in one folder."
        )
    return folders[0]
