"""Tables for a terminal."""

from __future__ import annotations


def columns(rows: list[list[str]]) -> list[str]:
    """Lines with the cells in columns, the first to the left and the others to the right."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        "  ".join(
            [row[0].ljust(first), *(cell.rjust(w) for cell, w in zip(row[1:], others, strict=True))]
        ).rstrip()
        for row in rows
    ]
