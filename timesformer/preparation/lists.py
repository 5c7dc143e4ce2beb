"""The lists of a data set, and how new ones are written."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from timesformer.annotations.csv_list import CLASS_NAMES
from timesformer.annotations.table import VideoList
from timesformer.preparation.clips import Clip

QUARANTINE_COLUMNS = ("path", "split", "reason", "start", "end")


@dataclass(frozen=True)
class DataSet:
    """The lists of a data set.

    Attributes:
        lists: by split, or by the name of the csv file.
        num_classes: labels lie below it; None where nothing says so.
        frames_fps: frames per second of its folders of frames.
        name: TRAIN.DATASET for lists of this framework in its place, so that clips are cut alike.
        keys: what a config must say for that with another TRAIN.DATASET.
    """

    lists: dict[str, VideoList]
    num_classes: int | None
    frames_fps: float
    name: str = "video_csv"
    keys: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        return next((videos.class_names for videos in self.lists.values()), ())


def write_list(path: Path, rows: Iterable[tuple[Clip, int]]) -> None:
    """A csv of clips and labels; with columns ``start`` and ``end`` if any clip is a part."""
    rows = list(rows)
    if all(clip.start is None and clip.end is None for clip, _ in rows):
        write_csv(path, ("path", "label"), ((clip.path, label) for clip, label in rows))
        return
    columns = ("path", "label", "start", "end")
    lines = ((clip.path, label, *_bounds(clip)) for clip, label in rows)
    write_csv(path, columns, lines)


def write_quarantine(path: Path, rows: Iterable[tuple[Clip, str, str]]) -> None:
    """A csv of clips, their splits, and why they were left out."""
    lines = ((clip.path, split, reason, *_bounds(clip)) for clip, split, reason in rows)
    write_csv(path, QUARANTINE_COLUMNS, lines)


def write_class_names(folder: Path, names: Sequence[str]) -> None:
    """``classes.txt`` in the folder, if there are names."""
    if names:
        write_text(folder / CLASS_NAMES, "".join(f"{name}\n" for name in names))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Words in quotes, so that no path can be taken for a comment."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerows(rows)
    write_text(path, ",".join(columns) + "\n" + text.getvalue())


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. Bytes of names that are no UTF-8 are spelled out."""
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _bounds(clip: Clip) -> tuple[object, object]:
    return "" if clip.start is None else clip.start, "" if clip.end is None else clip.end
