"""The lists of Diving48, version 2."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from timesformer.annotations.find import find_in
from timesformer.annotations.published import find_file, need_file, read_entries, read_json
from timesformer.annotations.table import PackedStrings, VideoList
from timesformer.errors import UserError

_NUM_CLASSES = 48


def read_diving48(
    folder: str | os.PathLike[str], split: str, *, path_prefix: str = ""
) -> VideoList:
    """A split of Diving48; validation and test are both the published test set.

    The published videos are cut already: ``start_frame`` and ``end_frame`` say what is in them and
    are not needed.

    Args:
        folder: holds ``Diving48_V2_train.json`` and ``Diving48_V2_test.json``, and may hold
            ``Diving48_vocab.json``, from which the classes get their names (else their numbers).
        split: train, val or test.
        path_prefix: holds the videos ``<vid_name>.mp4``; `folder` if empty.

    Raises:
        UserError: a list is missing or not as it should be; names the file and the entry.
    """
    folder = Path(folder)
    path = need_file(folder, f"Diving48_V2_{'train' if split == 'train' else 'test'}.json")
    ids, labels = [], []
    for number, (video, label) in enumerate(read_entries(path, "vid_name", "label"), start=1):
        if not label.isdecimal() or int(label) >= _NUM_CLASSES:
            raise UserError(
                f"{path}, entry {number}: the label '{label}' is not one of 0 to "
                f"{_NUM_CLASSES - 1}."
            )
        ids.append(video)
        labels.append(int(label))
    videos = path_prefix or str(folder)
    return VideoList(
        PackedStrings(find_in(videos, ids), folder=videos),
        np.array(labels, dtype=np.int64),
        str(path),
        _class_names(folder),
    )


def _class_names(folder: Path) -> tuple[str, ...]:
    """Names such as ``Back+15som+05Twis+FREE``; numbers without a vocabulary."""
    if (path := find_file(folder, "Diving48_vocab.json")) is None:
        return tuple(map(str, range(_NUM_CLASSES)))
    dives = read_json(path)
    if not isinstance(dives, list) or len(dives) != _NUM_CLASSES:
        raise UserError(f"{path} must be a list of {_NUM_CLASSES} dives, each in four parts.")
    return tuple(
        "+".join(map(str, dive)) if isinstance(dive, list) else str(dive) for dive in dives
    )
