"""Tar shards of videos, and the index that tells where in them each video of a split lies.

A shard is a tar file as the `webdataset` library streams it: ``NAME.mp4`` and ``NAME.cls`` in turn.
Beside the shards of a split lies its index, ``train.index.json``, by which any video is read on its
own: so shards are shuffled, resumed and dealt to processes as files are. It is JSON, by columns:

    version, split, fingerprint   of what the shards were made of
    classes                       names, [] where nobody gave any
    shards, shard_bytes           name and size of each shard
    names, places, offsets, sizes, labels   for each video, in the order of the list it came from:
                                  name in its shard, number of the shard, first byte, bytes, class
    starts, ends                  seconds, null where they are the video's own; absent if all are
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from timesformer.annotations.remote import is_address, read_bytes
from timesformer.annotations.table import PackedStrings, VideoList
from timesformer.errors import UserError

VERSION = 1
_COLUMNS = ("names", "places", "offsets", "sizes", "labels")


def index_name(split: str) -> str:
    """The file name of a split's index."""
    return f"{split}.index.json"


def has_index(folder: str, split: str) -> bool:
    """Whether `folder` holds shards of a split; of an address it is taken to be so."""
    return is_address(folder) or os.path.isfile(os.path.join(folder, index_name(split)))


def read_shards(folder: str, split: str, *, num_classes: int | None = None) -> VideoList:
    """The videos of a split, by the index in `folder`, which may be an address.

    The sizes of local shards are compared with the index; of remote ones, a short one shows when
    it is read.

    Raises:
        UserError: no index, not one of ours, a label that is not below `num_classes`, or a local
            shard that is missing or not as long as it should be.
    """
    source = os.path.join(folder, index_name(split))
    index = _read_index(folder, source)
    labels = np.array(index["labels"], dtype=np.int64)
    _check_labels(source, labels, index["classes"], num_classes)
    if not is_address(folder):
        _check_sizes(folder, index)
    shards = index["shards"]
    paths = (
        f"{shards[place]}#{name}@{offset}+{size}"
        for name, place, offset, size in zip(
            *(index[column] for column in _COLUMNS[:4]), strict=True
        )
    )
    return VideoList(
        PackedStrings(paths, folder=folder),
        labels,
        source,
        tuple(index["classes"]),
        _spans(index),
    )


def _read_index(folder: str, source: str) -> dict[str, Any]:
    try:
        if is_address(source):
            text = read_bytes(source)
        else:
            with open(source, "rb") as file:  # noqa: PTH123 - paths are strings throughout
                text = file.read()
    except OSError as error:
        raise UserError(
            f"DATA.PATH_TO_DATA_DIR '{folder}' has no index of shards that can be read, "
            f"{os.path.basename(source)} ({error.strerror}). tools/make_shards.py writes "
            "it last, once all shards are there."
        ) from None
    try:
        index = json.loads(text)
        _check_index(index)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{source} is not an index of shards that this version reads ({error}). Make it with "
            "tools/make_shards.py."
        ) from None
    return dict(index)


def _check_index(index: Mapping[str, Any]) -> None:
    """ValueError, KeyError or TypeError if it does not hold what it must."""
    if index["version"] != VERSION:
        raise ValueError(f"its version is {index['version']}, not {VERSION}")
    lengths = {len(index[column]) for column in _COLUMNS}
    lengths |= {len(index[column]) for column in ("starts", "ends") if column in index}
    if lengths == {0}:
        raise ValueError("it lists no videos")
    if len(lengths) > 1 or len(index["shards"]) != len(index["shard_bytes"]):
        raise ValueError("its columns differ in length")
    if not 0 <= min(index["places"]) <= max(index["places"]) < len(index["shards"]):
        raise ValueError("it names a shard that it does not list")
    if not all(name.endswith(".tar") for name in index["shards"]):
        raise ValueError("it names a shard that is no .tar")
    if min(index["labels"]) < 0:
        raise ValueError("it has a label below 0")
    len(index["classes"])


def _check_labels(
    source: str, labels: npt.NDArray[np.int64], classes: list[str], num_classes: int | None
) -> None:
    if num_classes is not None and labels.max() >= num_classes:
        known = f" of {len(classes)} classes" if classes else ""
        raise UserError(
            f"{source} has labels{known} up to {labels.max()}, but MODEL.NUM_CLASSES is "
            f"{num_classes}. Set MODEL.NUM_CLASSES {max(len(classes), labels.max() + 1)}."
        )


def _check_sizes(folder: str, index: Mapping[str, Any]) -> None:
    for name, size in zip(index["shards"], index["shard_bytes"], strict=True):
        path = os.path.join(folder, name)
        try:
            found = os.path.getsize(path)
        except OSError as error:
            raise UserError(
                f"the shard {path} cannot be read: {error.strerror}. Its index lists it; fetch or "
                "make it again."
            ) from None
        if found != size:
            raise UserError(
                f"the shard {path} is {found} bytes long, but its index says {size}: it was cut "
                "short, or is another one. Fetch or make it again."
            )


def _spans(index: Mapping[str, Any]) -> npt.NDArray[np.float64] | None:
    if "starts" not in index:
        return None
    return np.array([index["starts"], index["ends"]], dtype=np.float64).T.copy()
