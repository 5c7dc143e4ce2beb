"""What a run noted while it trained: the lines of ``metrics.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from timesformer.errors import UserError

TRAINING = ("train_iter", "train_epoch", "val_epoch")


@dataclass(frozen=True)
class Note:
    """One line of numbers: `epoch` is the place in the training that they were taken at."""

    kind: str
    epoch: float
    values: Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """The notes of a training in their order, each place once, and the last test's numbers."""

    notes: list[Note] = field(default_factory=list)
    test: Mapping[str, Any] = field(default_factory=dict)

    def curve(self, kind: str, name: str) -> tuple[list[float], list[float]]:
        """Epochs and values of the number `name` in the notes of a kind."""
        points = [
            (note.epoch, float(note.values[name]))
            for note in self.notes
            if note.kind == kind and isinstance(note.values.get(name), (int, float))
        ]
        return [x for x, _ in points], [y for _, y in points]


def read_history(path: Path) -> History:
    """Of a file, or nothing where there is none.

    A line that a killed run left unfinished is passed over.

    Raises:
        UserError: the file cannot be read.
    """
    if not path.is_file():
        return History()
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    records = list(parsed(lines))
    tests = [record for record in records if record.get("_type") == "test_final"]
    return History(notes=settled(training_notes(records)), test=tests[-1] if tests else {})


def parsed(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record


def training_notes(records: Iterable[Mapping[str, Any]]) -> Iterator[Note]:
    for record in records:
        if record.get("_type") in TRAINING:
            epoch = epoch_of(record)
            if epoch is not None:
                yield Note(str(record["_type"]), epoch, record)


def epoch_of(record: Mapping[str, Any]) -> float | None:
    """How many epochs were done: epoch 3/10 is 3.0, and 2.5 at its iteration 50/100."""
    try:
        epoch = int(str(record["epoch"]).split("/")[0])
        if "iter" not in record:
            return float(epoch)
        done, of = map(int, str(record["iter"]).split("/"))
        return epoch - 1 + done / of
    except (KeyError, ValueError, ZeroDivisionError):
        return None


def settled(notes: Iterable[Note]) -> list[Note]:
    """Without what was done again: a note of an earlier place takes back all that followed it."""
    kept: list[Note] = []
    for note in notes:
        while kept and kept[-1].epoch > note.epoch:
            kept.pop()
        kept.append(note)
    last = {(note.kind, note.epoch): note for note in kept}  # a later one wins
    return list(last.values())
