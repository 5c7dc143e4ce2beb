"""``manifest.jsonl``: one line for each thing made, so that none is made twice."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from timesformer.errors import UserError
from timesformer.preparation.clips import Clip

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Made:
    """What became of a clip: number of frames, average frames per second, bytes on disk."""

    frames: int
    fps: float
    bytes: int


@dataclass(frozen=True)
class Entry:
    """A line of the manifest.

    Attributes:
        clip: what it was made of.
        stamp: size and time of change of that, see `clips.stamp`.
        source_bytes: of that.
        output: path relative to the manifest.
        made: what it is.
        settings: how it was made.
    """

    clip: Clip
    stamp: list[int]
    source_bytes: int
    output: str
    made: Made
    settings: Mapping[str, Any]


class Manifest:
    """The manifest of the folder `out`; `entries` has the last entry of each output."""

    def __init__(self, out: Path) -> None:
        self._path = out / MANIFEST
        self.entries = {entry.output: entry for entry in _read(self._path)}

    def add(self, entry: Entry) -> None:
        """Append a line. What it tells of should be on the disk before it."""
        self.entries[entry.output] = entry
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(entry)) + "\n")

    def begin(self) -> None:
        """Make the file if there is none. Half a line, of a run that was killed, gets its end."""
        with self._path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    file.write(b"\n")


def _read(path: Path) -> Iterator[Entry]:
    if not path.exists():
        return
    settings: Mapping[str, Any] = {}
    with path.open() as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # torn by a kill; what it told of is made again
            try:
                clip, made = Clip(**entry.pop("clip")), Made(**entry.pop("made"))
                # One object for all of them: there may be a million lines.
                settings = settings if entry["settings"] == settings else entry["settings"]
                yield Entry(**{**entry, "clip": clip, "made": made, "settings": settings})
            except (TypeError, KeyError, AttributeError) as error:
                raise UserError(
                    f"{path} is not a manifest of these tools ({error}). Name another --out."
                ) from error
