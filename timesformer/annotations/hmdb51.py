"""The official lists of HMDB51: a file for each class and split."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from timesformer.annotations.find import find_alike
from timesformer.annotations.table import PackedStrings, VideoList, read_lines
from timesformer.errors import UserError

_FOLDER = "testTrainMulti_7030_splits"
_MARKS = {"train": "1", "val": "2", "test": "2"}


def read_hmdb51(
    folder: str | os.PathLike[str], split: str, *, number: int = 1, path_prefix: str = ""
) -> VideoList:
    """A split of HMDB51; validation and test are both the published test videos.

    Args:
        folder: holds ``<class>_test_split1.txt`` for each class, itself or in the folder
            ``testTrainMulti_7030_splits``. Classes are numbered in alphabetical order.
        split: train, val or test.
        number: which of the three published splits.
        path_prefix: holds the folders of the classes; `folder` if empty. Upper and lower case, and
            the extension of a file, may differ from the lists.

    Raises:
        UserError: the lists are missing or not as they should be; names the file and the line.
    """
    folder = Path(folder)
    source = folder / _FOLDER if (folder / _FOLDER).is_dir() else folder
    ending = f"_test_split{number}.txt"
    files = {path.name.removesuffix(ending): path for path in source.glob(f"*{ending}")}
    if not files:
        raise UserError(
            f"DATA.PATH_TO_DATA_DIR '{folder}' holds no list <class>{ending}, nor does its folder "
            f"{_FOLDER}. Unpack the published test_train_splits.rar there."
        )
    names = tuple(sorted(files))
    videos, labels = [], []
    for label, name in enumerate(names):
        marked = [f"{name}/{file}" for file in _marked(files[name], _MARKS[split])]
        videos += marked
        labels += [label] * len(marked)
    if not videos:
        raise UserError(f"{source} marks no video for the split '{split}' in *{ending}.")
    place = path_prefix or str(folder)
    return VideoList(
        PackedStrings(find_alike(place, videos), folder=place),
        np.array(labels, dtype=np.int64),
        str(source),
        names,
    )


def _marked(path: Path, wanted: str) -> list[str]:
    """The files of a list's lines ``file.avi MARK``: 1 is training, 2 test, 0 neither."""
    files = []
    for line_number, line in enumerate(read_lines(path), start=1):
        file, _, mark = line.rpartition(" ")
        if line and (not file or mark not in ("0", "1", "2")):
            raise UserError(
                f"{path}, line {line_number}: '{line}' is not a file and 1 (training), 2 (test) or "
                "0 (neither)."
            )
        if mark == wanted:
            files.append(file.strip())
    return files
