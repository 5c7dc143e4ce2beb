"""Lists in this framework's own form: train.csv, val.csv and test.csv.

Without a header, as in the released code: lines ``path label``. With the header
``path,label[,start,end]`` it is a csv as any program writes it, and may tell which seconds of a
file are meant.
"""

from __future__ import annotations

import csv
import difflib
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from timesformer.annotations.table import (
    PackedStrings,
    VideoList,
    first_line,
    read_class_names,
    read_lines,
)
from timesformer.errors import UserError

# The label is whatever follows the last separator, and a number holds no separator itself: so each
# line is unambiguous on its own, and spaces or commas inside the path need no quotes. A path that
# does stand in quotes follows the rules of csv: a quote inside it is doubled.
_LINE = re.compile(
    r"""(?: "(?P<quoted>(?:[^"]|"")+)" | (?P<plain>[^"\s].*?) )
        (?: \s*[,\t]\s* | \s+ )
        "?(?P<label>[^\s,"]+)"?""",
    re.VERBOSE,
)
_COLUMNS = ("path", "label", "start", "end")
_WHOLE = (math.nan, math.nan)
_LATEST = 1e9  # seconds; more are milliseconds or worse
CLASS_NAMES = "classes.txt"


def read_video_list(
    csv_path: str | os.PathLike[str], *, path_prefix: str = "", num_classes: int | None = None
) -> VideoList:
    """Read a csv of this framework; see the module for its two forms.

    Labels are numbers from 0, or names if a file ``classes.txt`` beside the csv gives one a line.
    Blank lines and lines that start with ``#`` are skipped. Whether the videos exist is not looked
    up, which would cost minutes for a million of them on a network disk: `check_first_exists`.

    Args:
        csv_path: a UTF-8 file, with or without byte order mark, any line ends.
        path_prefix: the folder of relative paths; the csv's own folder if empty.
        num_classes: labels must lie in ``[0, num_classes)``; None allows any from 0.

    Raises:
        UserError: no such file, not UTF-8, no videos in it, or a line that is not as it should be;
            names the file and the line.
    """
    csv_path = Path(csv_path)
    folder = path_prefix or str(csv_path.parent)
    lines = _read(csv_path)
    class_names = class_names_beside(csv_path)
    labels = Labels(class_names, num_classes)
    if header := _header(lines):
        return _read_columns(csv_path, lines, header, labels, folder)
    paths, numbers = _read_plain(csv_path, lines, labels)
    return VideoList(
        PackedStrings(paths, folder=folder),
        np.array(numbers, dtype=np.int64),
        str(csv_path),
        class_names,
    )


def is_own_list(csv_path: str | os.PathLike[str]) -> bool:
    """Whether a file is a list of this framework, by its first line; False if there is none."""
    if not os.path.isfile(csv_path):
        return False
    first = first_line(csv_path)
    match = _LINE.fullmatch(first)
    return bool(first and _header([first])) or (match is not None and match["label"].isdecimal())


def class_names_beside(list_path: Path) -> tuple[str, ...]:
    """The names in the ``classes.txt`` of the same folder; () if there is none."""
    path = list_path.parent / CLASS_NAMES
    return read_class_names(path) if path.is_file() else ()


class Labels:
    """What a label may look like in one list: a number below `num_classes`, or a class name."""

    def __init__(self, class_names: Sequence[str], num_classes: int | None) -> None:
        self._numbers: Mapping[str, int] = {name: i for i, name in enumerate(class_names)}
        self._num_classes = num_classes

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def number(self, text: str) -> int:
        """The class that `text` stands for; BadLine if it stands for none."""
        if not text.isdecimal() and text in self._numbers:
            return self._checked(self._numbers[text])
        try:
            return self._checked(int(text))
        except ValueError:
            raise BadLine(self._unknown(text)) from None

    def _checked(self, label: int) -> int:
        if label < 0 or (self._num_classes is not None and label >= self._num_classes):
            allowed = "0 or more" if self._num_classes is None else f"0 to {self._num_classes - 1}"
            raise BadLine(
                f"the label {label} is not one of {allowed}. Correct the line, or "
                "MODEL.NUM_CLASSES."
            )
        return label

    def _unknown(self, text: str) -> str:
        if not self._numbers:
            return (
                f"the label '{text}' is not an integer. A line is 'path label'; labels count from "
                f"0, or are names if a file {CLASS_NAMES} beside the list has one name a line."
            )
        close = difflib.get_close_matches(text, self._numbers, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        return f"the label '{text}' is neither a number nor a class of {CLASS_NAMES}.{hint}"


class BadLine(Exception):  # noqa: N818 - becomes a UserError where file and line are known
    """What is wrong with a line."""


def _read(csv_path: Path) -> list[str]:
    if not csv_path.parent.is_dir():
        raise UserError(
            f"DATA.PATH_TO_DATA_DIR '{csv_path.parent}' is not a folder. "
            f"Set it to the folder that holds {csv_path.name}."
        )
    if not csv_path.exists():
        found = ", ".join(sorted(path.name for path in csv_path.parent.glob("*.csv"))) or "none"
        raise UserError(
            f"DATA.PATH_TO_DATA_DIR '{csv_path.parent}' does not hold {csv_path.name}; csv files "
            f"there: {found}. Write it with one line 'path label' per video, or name another "
            "folder."
        )
    lines = read_lines(csv_path)
    if not any(line and not line.startswith("#") for line in lines):
        raise UserError(f"{csv_path} lists no videos. It needs one line 'path label' per video.")
    return lines


# --- lines "path label" ---------------------------------------------------------------------------


def _read_plain(csv_path: Path, lines: list[str], labels: Labels) -> tuple[list[str], list[int]]:
    paths: list[str] = []
    numbers: list[int] = []
    for line_number, line in enumerate(lines, start=1):
        if line and line[0] != "#":
            try:
                path, label = _split(line, labels)
                numbers.append(labels.number(label))
            except BadLine as error:
                raise UserError(f"{csv_path}, line {line_number}: {error}") from None
            paths.append(path)
    return paths, numbers


def _split(line: str, labels: Labels) -> tuple[str, str]:
    """Path and label of a line; BadLine if it has not both."""
    path, _, label = line.rpartition(" ")
    if path and label.isdecimal() and path[0] != '"' and path[-1] not in " ,\t":
        return path, label  # nearly every line of nearly every list, in a tenth of the time
    for separator in "\t, ":
        path, found, label = line.rpartition(separator)
        if found and (name := _unquoted(label)) in labels:
            return _unquoted(path), name
    if (match := _LINE.fullmatch(line)) is None:
        raise BadLine(
            f"'{line}' has no label. A line is 'path label', with a space, a comma or a tab "
            "between them."
        )
    quoted, plain, label = match.group("quoted", "plain", "label")
    return plain if quoted is None else quoted.replace('""', '"'), label


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    return text


# --- columns --------------------------------------------------------------------------------------


def _header(lines: list[str]) -> list[str]:
    """The columns that the first line names; [] if it is no header."""
    first = next(line for line in lines if line and not line.startswith("#"))
    columns = [column.lower() for column in columns_of(first)]
    return columns if {"path", "label"} <= set(columns) else []


def columns_of(line: str) -> list[str]:
    """The columns of what may be the first line of a csv, stripped; [] if it is none."""
    try:
        return [column.strip() for row in csv.reader([line]) for column in row]
    except csv.Error:
        return []


def rows_of(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped columns of each row of a csv that is not empty.

    Raises:
        UserError: quotes that are not those of a csv, such as one that is never closed.
    """
    reader = csv.reader(lines, strict=True)
    first_line = 1
    try:
        for row in reader:
            if row:
                yield first_line, [column.strip() for column in row]
            first_line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}, line {first_line}: this is no line of a csv ({error}). Look for a quote too "
            "many or too few."
        ) from None


def _read_columns(
    csv_path: Path, lines: list[str], header: list[str], labels: Labels, folder: str
) -> VideoList:
    if unknown := set(header) - set(_COLUMNS):
        raise UserError(
            f"{csv_path}: unknown columns {', '.join(sorted(unknown))}; a list has the columns "
            f"path and label, and may have start and end in seconds."
        )
    paths: list[str] = []
    numbers: list[int] = []
    spans: dict[int, tuple[float, float]] = {}
    width = len(header)
    # A column that the header does not name is the empty one behind all others.
    columns = itemgetter(*((*header, name).index(name) for name in _COLUMNS))
    for line, row in rows_of(csv_path, ("" if line.startswith("#") else line for line in lines)):
        path, label, start, end = columns(row + [""] * (width + 1 - len(row)))
        if label.lower() == "label" and path.lower() == "path":
            continue  # the header itself
        try:
            if len(row) > width or not path or not label:
                raise BadLine(f"this is not a line of {width} columns with path and label.")
            numbers.append(labels.number(label))
            if start or end:
                spans[len(paths)] = span_of(start, end)
        except BadLine as error:
            raise UserError(f"{csv_path}, line {line}: {error}") from None
        paths.append(path)
    if not paths:
        raise UserError(f"{csv_path} lists no videos: there is nothing below its header.")
    return VideoList(
        PackedStrings(paths, folder=folder),
        np.array(numbers, dtype=np.int64),
        str(csv_path),
        class_names_beside(csv_path),
        as_spans([spans.get(index, _WHOLE) for index in range(len(paths))]) if spans else None,
    )


def span_of(start: str, end: str) -> tuple[float, float]:
    """Seconds, NaN for ''; BadLine if they are none, or not of a clip."""
    try:
        span = float(start or "nan"), float(end or "nan")
    except ValueError:
        raise BadLine(f"start '{start}' and end '{end}' must be seconds.") from None
    # Comparisons with NaN are false, and `max` keeps its first number beside it.
    if span[0] < 0 or span[1] <= max(0.0, span[0]) or any(time > _LATEST for time in span):
        raise BadLine(
            f"start '{start}' and end '{end}': a clip must start at 0 s or later and last."
        )
    return span


def as_spans(spans: Sequence[tuple[float, float]]) -> npt.NDArray[np.float64] | None:
    """`VideoList.spans` of these; None if they say nothing."""
    array = np.array(spans, dtype=np.float64).reshape(-1, 2)
    return None if np.isnan(array).all() else array
