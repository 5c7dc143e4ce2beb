"""The lists of Kinetics-400, 600 and 700, and lists that give YouTube ids instead of paths.

The official ones are csv files ``label,youtube_id,time_start,time_end,split``. A video is looked
for by its name, in class folders or not: ``ID_000010_000020.mp4`` is the clip, ``ID.mp4`` the whole
video, of which the list says which seconds are meant.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from timesformer.annotations.csv_list import (
    CLASS_NAMES,
    BadLine,
    as_spans,
    class_names_beside,
    columns_of,
    read_video_list,
    rows_of,
    span_of,
)
from timesformer.annotations.find import find_below, stem
from timesformer.annotations.published import class_number, find_file, numbered
from timesformer.annotations.subset import first_exist
from timesformer.annotations.table import PackedStrings, VideoList, first_line, read_lines
from timesformer.errors import UserError

log = logging.getLogger("timesformer")

_FILES = {"train": ("train",), "val": ("val", "validate", "validation"), "test": ("test",)}
_TIMES = re.compile(r"_\d{6}_\d{6}$")


def read_kinetics(
    folder: str | os.PathLike[str],
    split: str,
    *,
    path_prefix: str = "",
    num_classes: int | None = None,
) -> VideoList:
    """A split of Kinetics: a list of this framework (`read_video_list`), or the official csv.

    Args:
        folder: holds train.csv, val.csv (or validate.csv) and test.csv, which may be called
            kinetics_train.csv, kinetics-400_train.csv and the like.
        split: train, val or test.
        path_prefix: the folder below which the videos lie; `folder` if empty.
        num_classes: how many classes there must be; None for any number.

    Raises:
        UserError: no such list, or one that is not as it should be; names the file and the line.
    """
    path = _list_of(Path(folder), split)
    videos_folder = path_prefix or str(folder)
    if path is not None and (header := _official_header(path)):
        return _read_official(path, header, videos_folder, num_classes)
    return read_named_list(
        path or Path(folder) / f"{split}.csv", path_prefix=path_prefix, num_classes=num_classes
    )


def read_named_list(
    path: str | os.PathLike[str], *, path_prefix: str = "", num_classes: int | None = None
) -> VideoList:
    """`read_video_list` of a list that may give a video's name or YouTube id instead of its path.

    Only if none of the first ten paths exists, the videos that are listed without a folder are
    looked for by their names; ``ID_000010_000020.mp4`` has the name ``ID`` too.
    """
    videos = read_video_list(path, path_prefix=path_prefix, num_classes=num_classes)
    if first_exist(videos):
        return videos
    folder = path_prefix or str(Path(path).parent)
    start = os.path.join(folder, "")
    # A name with a folder says more than its stem: `run/001.mp4` is not `jump/001.mp4`.
    names = [video.removeprefix(start) for video in videos.paths]
    wanted = {stem(name) for name in names if "/" not in name}

    def name_of(path: str) -> str:
        name = stem(path)
        return name if name in wanted else _TIMES.sub("", name)

    found = find_below(folder, wanted, name_of) if wanted else {}
    log.info("%d of %d names of %s are videos below %s", len(found), len(wanted), path, folder)
    places = (name if "/" in name else found.get(stem(name), name) for name in names)
    return replace(videos, paths=PackedStrings(places, folder=folder))


def _list_of(folder: Path, split: str) -> Path | None:
    names = _FILES[split]
    return find_file(
        folder,
        *(f"{name}.csv" for name in names),
        *(f"kinetics*[_-]{name}.csv" for name in names),
    )


# --- the official lists ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    line: int
    label: str
    youtube_id: str
    start: float
    end: float

    def clip(self) -> str:
        """The usual name of the clip, cut out of its video."""
        return f"{self.youtube_id}_{self.start:06.0f}_{self.end:06.0f}"


def _official_header(path: Path) -> list[str]:
    """The columns of an official list; [] if it is another list."""
    columns = columns_of(first_line(path))
    return columns if {"youtube_id", "time_start", "time_end"} <= set(columns) else []


def _read_official(
    path: Path, header: list[str], folder: str, num_classes: int | None
) -> VideoList:
    names, source = _class_names(path, num_classes)
    numbers = numbered(names)
    clips, ids, labels, times = [], [], [], []
    for row in _rows(path, header):
        where = f"{path}, line {row.line}"
        labels.append(class_number(numbers, row.label, where=where, source=source))
        clips.append(row.clip())
        ids.append(row.youtube_id)
        times.append((row.start, row.end))
    found = find_below(folder, {*clips, *ids}, stem)
    none = (np.nan, np.nan)
    is_whole = [
        clip not in found and video in found for clip, video in zip(clips, ids, strict=True)
    ]
    places = (
        found[video] if whole else found.get(clip, f"{clip}.mp4")
        for clip, video, whole in zip(clips, ids, is_whole, strict=True)
    )
    return VideoList(
        PackedStrings(places, folder=folder),
        np.array(labels, dtype=np.int64),
        str(path),
        names,
        as_spans([span if whole else none for span, whole in zip(times, is_whole, strict=True)]),
    )


def _class_names(path: Path, num_classes: int | None) -> tuple[tuple[str, ...], Path]:
    """The names of the classes, in the order of their labels, and the file they are from."""
    names, source = class_names_beside(path), path.parent / CLASS_NAMES
    if not names:
        source = _list_of(path.parent, "train") or path
        header = _official_header(source)
        names = tuple(sorted({row.label for row in _rows(source, header)})) if header else ()
    if not names or num_classes not in (None, len(names)):
        raise UserError(
            f"{source} names {len(names)} classes, but MODEL.NUM_CLASSES is {num_classes}. Set it, "
            f"or put {CLASS_NAMES} beside {path.name}: one name a line, in the order of the "
            "labels, which pretrained weights depend on."
        )
    return names, source


def _rows(path: Path, header: list[str]) -> Iterator[_Row]:
    if "label" not in header:
        raise _no_labels(f"{path} has no column 'label'", path)
    label, name, start, end = map(header.index, ("label", "youtube_id", "time_start", "time_end"))
    for line, row in rows_of(path, read_lines(path)):
        if row == header:
            continue
        where = f"{path}, line {line}"
        if len(row) != len(header) or not row[name]:
            raise UserError(f"{where}: this is not a line of {', '.join(header)}.")
        if not row[label]:
            raise _no_labels(f"{where}: there is no label", path)
        try:
            yield _Row(line, row[label], row[name], *span_of(row[start], row[end]))
        except BadLine as error:
            raise UserError(f"{where}: time_{error}") from None


def _no_labels(what: str, path: Path) -> UserError:
    return UserError(
        f"{what}, so {path.name} cannot be scored: its labels were not published with it. Test on "
        "the validation list (DATA.TEST_SPLIT val), as papers do, or use a list with labels."
    )
