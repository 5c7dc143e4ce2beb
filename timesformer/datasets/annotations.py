"""Lists of videos: the lines ``path label`` of train.csv, val.csv and test.csv."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from timesformer.errors import UserError

# The label is whatever follows the last separator, and a label holds no separator itself: so each
# line is unambiguous on its own, and spaces or commas inside the path need no quotes. A path that
# does stand in quotes follows the rules of csv: a quote inside it is doubled.
_LINE = re.compile(
    r"""(?: "(?P<quoted>(?:[^"]|"")+)" | (?P<plain>[^"\s].*?) )
        (?: \s*[,\t]\s* | \s+ )
        "?(?P<label>[^\s,"]+)"?""",
    re.VERBOSE,
)
_NUM_PROBED = 10


@dataclass(frozen=True)
class VideoList:
    """The videos of one split, in the order of the file.

    Attributes:
        paths: where each video lies; relative paths have their folder put in front.
        labels: int64 ``(len(paths),)``, the class of each video, 0-based.
        source: the csv file that the list was read from.
    """

    paths: Sequence[str]
    labels: npt.NDArray[np.int64]
    source: str

    def __len__(self) -> int:
        return len(self.paths)


def read_video_list(
    csv_path: str | os.PathLike[str], *, path_prefix: str = "", num_classes: int | None = None
) -> VideoList:
    """Read a csv of lines ``path label``; the separator is a space, a comma or a tab, per line.

    Blank lines and lines that start with ``#`` are skipped. Whether the videos exist is not looked
    up, which would cost minutes for a million of them on a network disk: `check_first_exists`.

    Args:
        csv_path: a UTF-8 file, with or without byte order mark, any line ends.
        path_prefix: the folder of relative paths; the csv's own folder if empty.
        num_classes: labels must lie in ``[0, num_classes)``; None allows any from 0.

    Raises:
        UserError: no such file, not UTF-8, no videos in it, or a line that is not ``path label``;
            names the file and the line.
    """
    csv_path = Path(csv_path)
    folder = path_prefix or csv_path.parent
    paths: list[str] = []
    labels: list[int] = []
    for number, line in enumerate(_read_lines(csv_path), start=1):
        if line and not line.startswith("#"):
            path, label = _parse(line, num_classes, where=f"{csv_path}, line {number}")
            paths.append(os.path.join(folder, path))
            labels.append(label)
    if not paths:
        raise UserError(f"{csv_path} lists no videos. It needs one line 'path label' per video.")
    return VideoList(paths, np.array(labels, dtype=np.int64), str(csv_path))


def check_first_exists(videos: VideoList) -> None:
    """Raise UserError if none of the first ten videos exists: the mark of a wrong folder."""
    probed = videos.paths[:_NUM_PROBED]
    if not any(os.path.exists(path) for path in probed):
        raise UserError(
            f"None of the first {len(probed)} videos of {videos.source} exists; the first is "
            f"'{probed[0]}'. Set DATA.PATH_PREFIX to the folder that the paths in the csv start "
            "from (empty: the folder of the csv)."
        )


def _read_lines(csv_path: Path) -> Iterator[str]:
    """The stripped lines of the file; UserError if there is no such file, or it is not text."""
    try:
        with csv_path.open(encoding="utf-8-sig") as file:
            for line in file:
                yield line.strip()
    except FileNotFoundError:
        raise UserError(_missing(csv_path)) from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{csv_path} is not UTF-8 text ({error.reason}). Save it again as UTF-8."
        ) from None
    except OSError as error:
        raise UserError(f"{csv_path} cannot be read: {error.strerror}.") from None


def _missing(csv_path: Path) -> str:
    """Why there is no such csv: its folder is not there, or holds other files."""
    if not csv_path.parent.is_dir():
        return (
            f"DATA.PATH_TO_DATA_DIR '{csv_path.parent}' is not a folder. "
            f"Set it to the folder that holds {csv_path.name}."
        )
    found = ", ".join(sorted(path.name for path in csv_path.parent.glob("*.csv"))) or "none"
    return (
        f"DATA.PATH_TO_DATA_DIR '{csv_path.parent}' does not hold {csv_path.name}; csv files "
        f"there: {found}. Write it with one line 'path label' per video, or name another folder."
    )


def _parse(line: str, num_classes: int | None, *, where: str) -> tuple[str, int]:
    """Path and label of one line, or UserError beginning with `where`."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise UserError(
            f"{where}: '{line}' has no label. A line is 'path label', with a space, a comma or a "
            "tab between them."
        )
    quoted, plain, label = match.group("quoted", "plain", "label")
    path = plain if quoted is None else quoted.replace('""', '"')
    return path, _parse_label(label, num_classes, where=where)


def _parse_label(text: str, num_classes: int | None, *, where: str) -> int:
    try:
        label = int(text)
    except ValueError:
        raise UserError(
            f"{where}: the label '{text}' is not an integer. A line is 'path label'; labels count "
            "from 0."
        ) from None
    if label < 0 or (num_classes is not None and label >= num_classes):
        allowed = "0 or more" if num_classes is None else f"0 to {num_classes - 1}"
        raise UserError(
            f"{where}: the label {label} is not one of {allowed}. "
            "Correct the line, or MODEL.NUM_CLASSES."
        )
    return label
