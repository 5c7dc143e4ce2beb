"""A folder of videos as a data set: classes by folder or by file name, splits by folder or by hash.

Three layouts are understood, with video files or folders of frames as videos:

``FOLDER/CLASS/…/clip.mp4``              class folders; a hash of each video's name splits them
``FOLDER/{train,val,test}/CLASS/…``      split already, and taken as it is
``FOLDER/…/clip.mp4``                    the class is a part of the path, named by a pattern
"""

from __future__ import annotations

import functools
import hashlib
import logging
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from timesformer.annotations.places import natural_order, without_extension
from timesformer.annotations.table import SPLITS, PackedStrings, VideoList
from timesformer.annotations.tree import Found, find_videos
from timesformer.errors import UserError

log = logging.getLogger("timesformer")

_TRAIN = 0
_LIKE_SPLITS = frozenset({*SPLITS, "training", "valid", "validation", "dev", "eval", "testing"})
_NUM_NAMED = 5  # in messages


def read_folder(
    folder: str,
    split: str,
    *,
    class_pattern: str = "",
    group_pattern: str = "",
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    num_classes: int | None = None,
) -> VideoList:
    """The videos below `folder` that belong to a split, in the natural order of their paths.

    The classes are numbered in the natural order of their names, and are those of all splits.

    Args:
        folder: see the module for what it may hold.
        split: ``train``, ``val`` or ``test``.
        class_pattern: regular expression with a group named ``class``, searched in each path
            relative to `folder`; '' for class folders.
        group_pattern: the same with a group named ``group``: videos of one group stay in one split.
        fractions: shares of the splits, which sum to 1.
        seed: of the hash that splits.
        num_classes: what the number of classes must be; None allows any.

    Raises:
        UserError: no videos, one class only, a video or folder without its place in the layout,
            a pattern that is none or does not match, another number of classes than `num_classes`.
    """
    found = find_videos(folder)
    if not found.videos:
        raise UserError(
            f"{folder} holds no videos: neither files such as .mp4 and .avi nor folders of images."
        )
    is_split = "train" in found.folders and bool({"val", "test"} & found.folders)
    classes = _classes(folder, found, class_pattern, is_split)
    names = _names(folder, classes, num_classes)
    labels = np.array([names[name] for name in classes], dtype=np.int64)
    if is_split:
        splits = _given_splits(folder, found, classes, group_pattern)
    else:
        groups = _groups(folder, found.videos, group_pattern)
        splits = split_by_group(groups, labels, fractions=fractions, seed=seed)
    if log.isEnabledFor(logging.INFO):  # before a run starts, nobody listens
        _report(folder, found, tuple(names), labels, splits)
    chosen = np.flatnonzero(splits == SPLITS.index(split))
    if not len(chosen):
        raise UserError(
            f"{folder}: none of its {len(labels)} videos is in the split '{split}'. Add videos "
            "(classes of three have one for each split), give the split a share in "
            "DATA.SPLIT_FRACTIONS, or make folders train, val and test."
        )
    paths = PackedStrings((found.videos[index] for index in chosen), folder=folder)
    return VideoList(paths, labels[chosen], folder, tuple(names))


# --- classes --------------------------------------------------------------------------------------


def _classes(folder: str, found: Found, pattern: str, is_split: bool) -> list[str]:
    """The name of each video's class."""
    if pattern:
        return _search(folder, found.videos, "CLASS_PATTERN", pattern, "class")
    depth = 1 if is_split else 0
    classes = []
    for path in found.videos:
        parts = path.split("/")
        if len(parts) < depth + 2:
            raise UserError(
                f"{folder}: '{path}' lies in no class folder. Put the videos of each class in a "
                "folder of its own, or set DATA.CLASS_PATTERN to a regular expression that finds "
                "the class in a path, such as '(?P<class>[^/_]+)_[^/]*$'."
            )
        classes.append(parts[depth])
    top = "train/" if is_split else ""
    _refuse_empty(folder, [f for f in found.folders if f.count("/") == depth], top, classes)
    return classes


def _refuse_empty(folder: str, folders: list[str], top: str, classes: list[str]) -> None:
    """UserError for a folder in the place of a class (below `top`) that holds no video."""
    known = {top + name for name in classes} | {""}
    empty = sorted({name for name in folders if name.startswith(top)} - known)
    if empty:
        raise UserError(
            f"{folder}: {_some(empty)} {'stands' if len(empty) == 1 else 'stand'} where class "
            "folders do, but without videos. Add some, or move what is no class elsewhere."
        )


def _names(folder: str, classes: Sequence[str], num_classes: int | None) -> dict[str, int]:
    """The classes and their labels."""
    names = sorted(set(classes), key=natural_order)
    if len(names) == 1:
        raise UserError(
            f"{folder}: all {len(classes)} videos are of one class, '{names[0]}'. Set "
            "DATA.PATH_TO_DATA_DIR to the folder that holds the class folders, or "
            "DATA.CLASS_PATTERN to what tells the classes apart."
        )
    if _LIKE_SPLITS.issuperset(map(str.casefold, names)):
        raise UserError(
            f"{folder}: the folders {_some(names)} look like splits, and would be taken for "
            "classes. Call them train, val and test; all three must be there."
        )
    if num_classes not in (None, len(names)):
        raise UserError(
            f"{folder} holds {len(names)} classes ({_some(names)}), but MODEL.NUM_CLASSES is "
            f"{num_classes}. Set MODEL.NUM_CLASSES {len(names)}."
        )
    return {name: label for label, name in enumerate(names)}


def _search(folder: str, paths: Iterable[str], key: str, pattern: str, group: str) -> list[str]:
    """What the group `group` of DATA.`key` is in each path."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"DATA.{key} '{pattern}' is no regular expression: {error}.") from None
    if group not in expression.groupindex:
        raise UserError(
            f"DATA.{key} '{pattern}' has no group named {group}. Write (?P<{group}>…) around the "
            f"part that is the {group}."
        )
    values = []
    for path in paths:
        match = expression.search(path)
        if match is None or not match[group]:
            raise UserError(
                f"{folder}: DATA.{key} '{pattern}' finds no {group} in '{path}'. It must do so in "
                "each path relative to the folder."
            )
        values.append(match[group])
    return values


# --- splits ---------------------------------------------------------------------------------------


def _given_splits(
    folder: str, found: Found, classes: Sequence[str], group_pattern: str
) -> npt.NDArray[np.int64]:
    """The splits that the folders train, val and test make."""
    if group_pattern:
        raise UserError(
            f"{folder} is split already, into folders train, val and test: leave "
            "DATA.GROUP_PATTERN ''."
        )
    if missing := [split for split in SPLITS if split not in found.folders]:
        raise UserError(
            f"{folder} has a folder train, but no folder {missing[0]}. A data set that is split "
            "already has train, val and test; a link from one to another will do."
        )
    tops = [path.split("/")[0] for path in found.videos]
    for top, path in zip(tops, found.videos, strict=True):
        if top not in SPLITS:
            raise UserError(f"{folder}: '{path}' lies in none of the folders train, val and test.")
    trained = {name for top, name in zip(tops, classes, strict=True) if top == "train"}
    if unknown := sorted(set(classes) - trained):
        raise UserError(f"{folder}: no video in train is of the class {_some(unknown)}.")
    return np.array([SPLITS.index(top) for top in tops], dtype=np.int64)


def _groups(folder: str, videos: Sequence[str], pattern: str) -> list[str]:
    """The group of each video; without a pattern its path, less the extension of a file.

    So a video keeps its split when it is converted to another container, or to frames.
    """
    if pattern:
        return _search(folder, videos, "GROUP_PATTERN", pattern, "group")
    return [without_extension(path) for path in videos]


def split_by_group(
    groups: Sequence[str], labels: npt.NDArray[np.int64], *, fractions: Sequence[float], seed: int
) -> npt.NDArray[np.int64]:
    """The split of each video, as its index in `SPLITS`.

    A group's place is a hash of its name and the seed, so other videos that come or go do not move
    it, and a group that spans classes stays together. Small classes need one exception: where the
    hash gives a class nothing to validate, test or train on, its group that comes nearest stands
    in, and goes back once the class has grown into a group of its own there.

    Args:
        groups: the group of each video.
        labels: (len(groups),) the class of each video.
        fractions: shares of the splits; a share of 0 is kept.
        seed: other seeds give other splits.
    """
    places = {group: _place(group, seed) for group in set(groups)}
    edges = list(accumulate(fractions))[:-1]
    split_of = {group: bisect_right(edges, place) for group, place in places.items()}
    in_class: dict[int, set[str]] = {}
    for group, label in zip(groups, labels.tolist(), strict=True):
        in_class.setdefault(label, set()).add(group)
    # Training last: what the others borrowed may have been all that another class had.
    for split in sorted(range(len(SPLITS)), key=lambda split: split == _TRAIN):
        for label in sorted(in_class) if fractions[split] else ():
            members = sorted(in_class[label], key=places.__getitem__)
            if (stand_in := _stand_in(members, split_of, split)) is not None:
                split_of[stand_in] = split
    return np.array([split_of[group] for group in groups], dtype=np.int64)


def _stand_in(members: list[str], split_of: Mapping[str, int], split: int) -> str | None:
    """The group of a class (`members` by place) to move to a `split` that has none of it, if any.

    It is one that its own split can spare, or any at all for training.
    """
    sizes = Counter(split_of[group] for group in members)
    if sizes[split]:
        return None
    spare = [group for group in members if sizes[split_of[group]] > 1]
    if split == _TRAIN:
        return (spare or members)[0]
    return max(reversed(spare), key=lambda group: split_of[group] == _TRAIN, default=None)


def _place(group: str, seed: int) -> float:
    """A number in [0, 1), evenly spread over groups and seeds."""
    text = f"{seed} {group}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=6).digest(), "big") / 2**48


# --- what is said ---------------------------------------------------------------------------------


def _report(
    folder: str,
    found: Found,
    names: Sequence[str],
    labels: npt.NDArray[np.int64],
    splits: npt.NDArray[np.int64],
) -> None:
    sizes = np.bincount(splits, minlength=len(SPLITS))
    shares = ", ".join(f"{size} {split}" for split, size in zip(SPLITS, sizes, strict=True))
    _say(f"{folder}: {len(labels)} videos of {len(names)} classes ({shares})")
    if found.ignored:
        counts = ", ".join(f"{n} {kind}" for kind, n in sorted(found.ignored.items()))
        _say(f"{folder}: ignored files that are no videos: {counts}")
    if found.empty:
        _say(f"{folder}: ignored folders without videos: {_some(sorted(found.empty))}")
    if found.loops:
        _say(f"{folder}: ignored links to a folder above them: {_some(sorted(found.loops))}")
    for number, split in enumerate(SPLITS):
        without = sorted(set(range(len(names))) - set(labels[splits == number].tolist()))
        if without:
            _say(f"{folder}: no {split} video of {_some([names[label] for label in without])}")


@functools.lru_cache(maxsize=100)
def _say(message: str) -> None:
    """Once for a process, though it reads each split."""
    log.info(message)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:_NUM_NAMED]) + more
