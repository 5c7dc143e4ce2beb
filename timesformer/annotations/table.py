"""A list of labelled videos, held once for all processes."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.sharedctypes import RawArray
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from timesformer.errors import UserError


class SharedArray:
    """A copy of `values` in shared memory, which ends with the last process that holds it."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self._dtype, self._shape = values.dtype, values.shape
        self._raw: Any = RawArray("B", max(values.nbytes, 1))
        self.values()[...] = values

    def values(self) -> npt.NDArray[Any]:
        """The array itself, not a copy."""
        count = math.prod(self._shape)
        return np.frombuffer(self._raw, self._dtype, count).reshape(self._shape)


SPLITS = ("train", "val", "test")


class PackedStrings(Sequence[str]):
    """Many strings, in two arrays of shared memory, each joined to `folder` when it is asked for.

    As Python objects, a million paths would cost every worker process 100 MB: whoever touches an
    object writes its reference count, and so copies the page. These arrays are one copy for all
    processes, forked or spawned. They travel to a process only while it is being started.
    """

    def __init__(self, strings: Iterable[str], *, folder: str = "") -> None:
        # Names of files need not be Unicode, and Python marks the bytes that are not.
        encoded = [string.encode(errors="surrogateescape") for string in strings]
        ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        self._folder = folder
        self._text = SharedArray(np.frombuffer(b"".join(encoded), dtype=np.uint8))
        self._ends = SharedArray(ends)

    def __len__(self) -> int:
        return len(self._ends.values()) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        numbers = range(len(self))[index]  # raises IndexError, and counts from the end
        return self._get(numbers) if isinstance(numbers, int) else [self._get(i) for i in numbers]

    def add_to(self, digest: hashlib._Hash) -> None:
        """Hash the strings, without the folder."""
        digest.update(self._text.values().data)
        digest.update(self._ends.values().data)

    def _get(self, index: int) -> str:
        start, end = self._ends.values()[index : index + 2]
        text = self._text.values()[start:end].tobytes().decode(errors="surrogateescape")
        # An address, as of a part of a remote shard, lies in no folder.
        return text if "://" in text else os.path.join(self._folder, text)


@dataclass(frozen=True)
class VideoList:
    """The videos of one split, in the order of their list.

    Attributes:
        paths: where each video lies: a file, a folder of frames, or ``folder/name_[001-117].jpg``,
            which is frames 1 to 117 of a folder.
        labels: int64 ``(len(paths),)``, the class of each video, 0-based.
        source: the file or folder that the list was read from, for messages.
        class_names: the name of each class; () where nobody gave any.
        spans: float64 ``(len(paths), 2)``, start and end in seconds of the clip inside each file,
            NaN where it is the file's own; None if that is so for all.
        backward: bool ``(len(paths),)``, whether the frames of each clip are shown from the last to
            the first; None if that is so for none.
    """

    paths: Sequence[str]
    labels: npt.NDArray[np.int64]
    source: str
    class_names: tuple[str, ...] = ()
    spans: npt.NDArray[np.float64] | None = None
    backward: npt.NDArray[np.bool_] | None = None
    _shared: dict[str, SharedArray] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        arrays = {"labels": self.labels, "spans": self.spans, "backward": self.backward}
        shared = {name: SharedArray(a) for name, a in arrays.items() if a is not None}
        self.__setstate__(self.__dict__ | {"_shared": shared})

    def __getstate__(self) -> dict[str, Any]:
        """For a process that is being started: little enough to fit a pipe.

        The next process is started once this has been written, and what a pipe cannot hold is
        written only as fast as the new process reads: after many seconds of imports.
        """
        return {name: value for name, value in self.__dict__.items() if name not in self._shared}

    def __setstate__(self, state: dict[str, Any]) -> None:
        arrays = {name: shared.values() for name, shared in state["_shared"].items()}
        self.__dict__.update(state | arrays)

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, indices: npt.NDArray[np.int64]) -> VideoList:
        """The videos at `indices`, in that order."""
        return replace(
            self,
            paths=PackedStrings(self.paths[int(index)] for index in indices),
            labels=self.labels[indices],
            spans=None if self.spans is None else self.spans[indices],
            backward=None if self.backward is None else self.backward[indices],
        )

    def fingerprint(self) -> str:
        """Hex digits that change with any name, label, span or direction, not with the folder."""
        digest = hashlib.sha256(np.ascontiguousarray(self.labels).data)
        for values in (self.spans, self.backward):
            if values is not None:
                digest.update(np.ascontiguousarray(values).data)
        if isinstance(self.paths, PackedStrings):
            self.paths.add_to(digest)
        else:
            PackedStrings(self.paths).add_to(digest)
        return digest.hexdigest()[:16]

    def name_of(self, label: int) -> str:
        """The name of a class, or its number where there is none."""
        return self.class_names[label] if label < len(self.class_names) else str(label)


def read_class_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The lines of a file: the names of the classes, in the order of their labels.

    Raises:
        UserError: the file cannot be read, or names a class twice.
    """
    names = tuple(read_lines(path))
    while names and not names[-1]:
        names = names[:-1]
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise UserError(f"{path}, line {number} is empty. Each line names one class.")
        if seen.setdefault(name, number) != number:
            raise UserError(
                f"{path}: the class '{name}' stands on lines {seen[name]} and {number}. "
                "Each line names one class."
            )
    return names


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """The stripped lines of a UTF-8 text, with or without byte order mark, any line ends.

    Raises:
        UserError: no such file, or it is not text.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123 - takes any path-like
            lines = [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise not_text(path, error.reason) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    if any("\0" in line for line in lines):  # UTF-16 of plain letters is UTF-8 with zeros between
        raise not_text(path, "zero bytes")
    return lines


def not_text(path: str | os.PathLike[str], reason: str) -> UserError:
    return UserError(f"{path} is not UTF-8 text ({reason}). Save it again as UTF-8.")


def first_line(path: str | os.PathLike[str]) -> str:
    """The first line of a list that is neither empty nor a comment, stripped; "" if there is none.

    What is no text is not refused here, but by who reads it all.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:  # noqa: PTH123 - as above
            lines = (line.strip() for line in file)
            return next((line for line in lines if line and line[0] != "#"), "")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
