"""The official lists of UCF101."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from timesformer.annotations.find import find_alike
from timesformer.annotations.published import class_number, need_file
from timesformer.annotations.table import PackedStrings, VideoList, read_lines
from timesformer.errors import UserError


def read_ucf101(
    folder: str | os.PathLike[str], split: str, *, number: int = 1, path_prefix: str = ""
) -> VideoList:
    """A split of UCF101; validation and test are both the published test list.

    Args:
        folder: holds ``classInd.txt``, ``trainlist01.txt``, ``testlist01.txt`` and the others.
        split: train, val or test.
        number: which of the three published splits.
        path_prefix: holds the folders of the classes; `folder` if empty. Upper and lower case, and
            the extension of a file, may differ from the list.

    Raises:
        UserError: a list is missing or not as it should be; names the file and the line.
    """
    folder = Path(folder)
    classes = need_file(folder, "classInd.txt")
    names = _class_names(classes)
    path = need_file(folder, f"{'train' if split == 'train' else 'test'}list{number:02d}.txt")
    videos, labels = _read(path, names, classes)
    place = path_prefix or str(folder)
    return VideoList(
        PackedStrings(find_alike(place, videos), folder=place),
        np.array(labels, dtype=np.int64),
        str(path),
        names,
    )


def _class_names(path: Path) -> tuple[str, ...]:
    """The classes, listed as ``1 ApplyEyeMakeup``."""
    names: list[str] = []
    for line_number, line in enumerate(read_lines(path), start=1):
        number, _, name = line.partition(" ")
        if line and (number != str(len(names) + 1) or not name):
            raise UserError(
                f"{path}, line {line_number}: '{line}' is not a class with its number, which "
                f"should be {len(names) + 1}."
            )
        if line:
            names.append(name.strip())
    return tuple(names)


def _read(path: Path, names: tuple[str, ...], classes: Path) -> tuple[list[str], list[int]]:
    """Paths and labels: training lists say both, and in all of them the folder is the class."""
    numbers = {name.casefold(): label for label, name in enumerate(names)}
    videos, labels = [], []
    for line_number, line in enumerate(read_lines(path), start=1):
        if not line:
            continue
        where = f"{path}, line {line_number}"
        video, _, number = line.rpartition(" ")
        if not number.isdecimal():
            video, number = line, ""
        class_name = video.partition("/")[0]
        label = class_number(numbers, class_name.casefold(), where=where, source=classes)
        if number not in ("", str(label + 1)):
            raise UserError(
                f"{where}: the class {number} is not that of the folder {class_name}, which is "
                f"{label + 1}."
            )
        videos.append(video)
        labels.append(label)
    if not videos:
        raise UserError(f"{path} lists no videos.")
    return videos, labels
