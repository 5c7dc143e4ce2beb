"""What the readers of published lists share: finding a file, JSON, classes by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from timesformer.annotations.table import read_lines
from timesformer.errors import UserError
from timesformer.registry import closest


def find_file(folder: Path, *patterns: str) -> Path | None:
    """The file in `folder`, or in its folder ``labels``, that the first fitting pattern names.

    Raises:
        UserError: several files fit the same pattern.
    """
    for pattern in patterns:
        for place in (folder, folder / "labels"):
            found = sorted(place.glob(pattern))
            if len(found) > 1:
                names = ", ".join(path.name for path in found)
                raise UserError(f"{place} holds {names}: which is meant? Move the others away.")
            if found:
                return found[0]
    return None


def need_file(folder: Path, *patterns: str) -> Path:
    """`find_file`, where there must be one; UserError otherwise."""
    if (path := find_file(folder, *patterns)) is None:
        found = ", ".join(sorted(path.name for path in folder.glob("*"))[:10]) or "nothing"
        raise UserError(
            f"DATA.PATH_TO_DATA_DIR '{folder}' does not hold {' or '.join(patterns)}. It holds "
            f"{found}. Set it to the folder of the published lists (see DATASET.md)."
        )
    return path


def read_json(path: Path) -> Any:
    """The contents of a JSON file; UserError, with the line, if it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, line {error.lineno}: this is not JSON ({error.msg}). The file may be cut "
            "short; fetch it again."
        ) from None
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from None


def read_entries(path: Path, *fields: str) -> Iterator[tuple[str, ...]]:
    """The values of `fields`, as text, of each entry of a JSON list of objects.

    Raises:
        UserError: it is no such list, is empty, or an entry lacks a field; names the entry.
    """
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path} must be a list of videos, each with {', '.join(fields)}.")
    for number, entry in enumerate(entries, start=1):
        values = [entry.get(field) if isinstance(entry, dict) else None for field in fields]
        if None in values:
            raise UserError(
                f"{path}, entry {number}: {json.dumps(entry)[:80]} does not have "
                f"{', '.join(fields)}."
            )
        yield tuple(str(value) for value in values)


def read_pairs(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line number, id and class of each line ``id;class``.

    Raises:
        UserError: a line without a semicolon or with nothing on one of its sides, or no line.
    """
    lines = [(number, line) for number, line in enumerate(read_lines(path), start=1) if line]
    if not lines:
        raise UserError(f"{path} lists no videos. It needs one line 'id;class' per video.")
    for number, line in lines:
        name, _, label = (part.strip() for part in line.partition(";"))
        if not name or not label:
            raise UserError(f"{path}, line {number}: '{line}' is not 'id;class'.")
        yield number, name, label


def class_number(numbers: Mapping[str, int], name: str, *, where: str, source: Path) -> int:
    """The class called `name`; UserError, beginning with `where`, if `source` lists none so."""
    if name not in numbers:
        raise UserError(
            f"{where}: '{name}' is not one of the {len(numbers)} classes of {source}."
            f"{closest(name, numbers)}"
        )
    return numbers[name]


def numbered(names: tuple[str, ...]) -> dict[str, int]:
    """Each name's place."""
    return {name: number for number, name in enumerate(names)}
