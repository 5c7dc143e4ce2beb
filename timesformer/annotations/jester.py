"""The lists of 20BN-Jester and of Something-Something V1: classes by name, videos as frames."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from timesformer.annotations.find import find_in
from timesformer.annotations.published import class_number, need_file, numbered, read_pairs
from timesformer.annotations.table import PackedStrings, VideoList, read_class_names

_FILES = {"train": "train.csv", "val": "validation.csv", "test": "test-answers.csv"}


def read_jester(folder: str | os.PathLike[str], split: str, *, path_prefix: str = "") -> VideoList:
    """A split of a data set with lines ``id;class``.

    Args:
        folder: holds ``jester-v1-labels.csv``, one class a line, and the lists
            ``jester-v1-train.csv`` and ``jester-v1-validation.csv``; any other name may stand for
            ``jester-v1``, or none (as in ``labels/train.csv``).
        split: train, val or test.
        path_prefix: holds a folder of frames, or a video, called ``<id>``; `folder` if empty.

    Raises:
        UserError: a list is missing or not as it should be; names the file and the line.
    """
    folder = Path(folder)
    path = need_file(folder, f"*-{_FILES[split]}", _FILES[split])
    source = need_file(folder, "*-labels.csv", "labels.csv")
    names = read_class_names(source)
    numbers = numbered(names)
    ids, labels = [], []
    for line, video, name in read_pairs(path):
        ids.append(video)
        labels.append(class_number(numbers, name, where=f"{path}, line {line}", source=source))
    videos = path_prefix or str(folder)
    return VideoList(
        PackedStrings(find_in(videos, ids), folder=videos),
        np.array(labels, dtype=np.int64),
        str(path),
        names,
    )
