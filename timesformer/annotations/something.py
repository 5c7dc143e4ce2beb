"""The lists of Something-Something V2, with its videos as files or as frames.

``something-something-v2-train.json`` and ``-validation.json`` hold objects with an ``id`` and a
``template`` such as "Holding [something]"; ``-labels.json`` gives each template, without brackets,
its number. A newer release calls them ``labels/train.json`` and so on, and holds the labels of the
test videos, ``labels/test-answers.csv``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from timesformer.annotations.find import find_in
from timesformer.annotations.frame_list import is_frame_list, read_frame_list
from timesformer.annotations.published import (
    class_number,
    find_file,
    need_file,
    numbered,
    read_entries,
    read_json,
    read_pairs,
)
from timesformer.annotations.table import PackedStrings, VideoList
from timesformer.errors import UserError

_PREFIX = "something-something-v2-"
_FILES = {"train": "train.json", "val": "validation.json", "test": "test-answers.csv"}


def read_something(
    folder: str | os.PathLike[str], split: str, *, path_prefix: str = "", skip_missing: bool = False
) -> VideoList:
    """A split of Something-Something V2.

    The frames of a video are those that a frame list of PySlowFast names, ``train.csv`` or
    ``val.csv`` beside the json. Without one they are the folder ``<id>`` of `path_prefix`, or the
    file ``<id>.webm`` there (any extension of a video).

    Args:
        folder: holds the json files, or a folder ``labels`` with them.
        split: train, val or test.
        path_prefix: where the videos or the paths of the frame list start; `folder` if empty.
        skip_missing: videos that the frame list lacks are no mistake, but folders ``<id>``.

    Raises:
        UserError: a list is missing or not as it should be; names the file and the entry.
    """
    folder = Path(folder)
    names, source = _class_names(folder)
    path = need_file(folder, f"{_PREFIX}{_FILES[split]}", _FILES[split])
    numbers = numbered(names)
    ids, labels = [], []
    for where, video, template in _entries(path):
        ids.append(video)
        label = template.replace("[", "").replace("]", "")
        labels.append(class_number(numbers, label, where=where, source=source))
    videos = path_prefix or str(folder)
    frames = find_file(folder, f"{split}.csv")
    if frames is not None and is_frame_list(frames):
        places = _in_frame_list(frames, ids, path, skip_missing)
    else:
        places = find_in(videos, ids)
    return VideoList(
        PackedStrings(places, folder=videos), np.array(labels, dtype=np.int64), str(path), names
    )


def _class_names(folder: Path) -> tuple[tuple[str, ...], Path]:
    path = need_file(folder, f"{_PREFIX}labels.json", "labels.json")
    labels = read_json(path)
    try:
        by_number = {int(number): name for name, number in labels.items()}
        return tuple(by_number[number] for number in range(len(labels))), path
    except (AttributeError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{path} must give every class its own number from 0 on, as in "
            '{"Holding something": "0"}.'
        ) from None


def _entries(path: Path) -> Iterator[tuple[str, str, str]]:
    """Where it stands, id and template of each video of a list."""
    if path.suffix == ".json":
        for number, (video, template) in enumerate(read_entries(path, "id", "template"), start=1):
            yield f"{path}, entry {number}", video, template
    else:
        for number, video, template in read_pairs(path):
            yield f"{path}, line {number}", video, template


def _in_frame_list(
    frame_list: Path, ids: Sequence[str], source: Path, skip_missing: bool
) -> list[str]:
    frames = read_frame_list(frame_list)
    missing = [video for video in ids if video not in frames]
    if missing and not skip_missing:
        raise UserError(
            f"{frame_list} has no frames of {len(missing)} of the {len(ids)} videos of {source}; "
            f"the first is {missing[0]}. Complete it, or leave these videos out with "
            "DATA.SKIP_MISSING True."
        )
    return [frames.get(video, video) for video in ids]
