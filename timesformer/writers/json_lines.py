"""``metrics.jsonl``: one object a line, appended to by every run in the folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import simplejson

from timesformer.writers.interface import Writer


class JsonLines(Writer):
    """Keeps numbers alone."""

    title = "metrics.jsonl"

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+")  # open for the run: see `close`
        self._end_last_line()

    def _end_last_line(self) -> None:
        """A run that was killed while it wrote leaves half a line: the next one starts anew."""
        self._file.seek(0)
        text = self._file.read()
        if text and not text.endswith("\n"):
            self._file.write("\n")

    def scalars(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        record = {"_type": kind, "step": step, **values}
        self._file.write(simplejson.dumps(record, ignore_nan=True) + "\n")
        self._file.flush()

    def close(self, *, failed: bool = False) -> None:
        self._file.close()
