"""Predictions as text: a table for people, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timesformer.datasets.batch import Failure

if TYPE_CHECKING:
    from timesformer.inference.predictor import Guess, Prediction, Timeline

FORMATS = {".txt": "table", ".json": "json", ".csv": "csv"}
COLUMNS = ("video", "rank", "label", "class", "probability", "score", "error")


def table(result: Prediction | Failure, top_k: int) -> str:
    """Lines for one video."""
    if isinstance(result, Failure):
        return f"{result.path}\n     cannot be read: {result.reason}\n"
    guesses = result.top(top_k)
    lines = [f"{100 * guess.probability:9.2f} %  {guess.name}" for guess in guesses]
    return "\n".join([result.path, *lines, ""])


def as_text(results: Sequence[Prediction | Failure], form: str, top_k: int) -> str:
    """All of them as ``table``, ``json`` or ``csv``, with an end of line at the end."""
    if form == "table":
        return "".join(table(result, top_k) for result in results)
    if form == "json":
        return json.dumps([as_object(result, top_k) for result in results], indent=1) + "\n"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in results:
        writer.writerows(rows(result, top_k))
    return text.getvalue()


def rows(result: Prediction | Failure, top_k: int) -> Iterator[tuple[Any, ...]]:
    """Under `COLUMNS`: a row for each class, or one for a video that cannot be read."""
    if isinstance(result, Failure):
        yield (result.path, *[""] * 5, result.reason)
        return
    for rank, guess in enumerate(result.top(top_k), start=1):
        numbers = f"{guess.probability:.6f}", f"{guess.score:.6g}"
        yield (result.path, rank, guess.label, guess.name, *numbers, "")


def as_object(result: Prediction | Failure, top_k: int) -> dict[str, Any]:
    if isinstance(result, Failure):
        return {"video": result.path, "error": result.reason}
    return {"video": result.path, "top": [of_guess(guess) for guess in result.top(top_k)]}


def of_guess(guess: Guess) -> dict[str, Any]:
    return {
        "label": guess.label,
        "class": guess.name,
        "probability": round(guess.probability, 6),
        "score": float(f"{guess.score:.6g}"),
    }


def timeline_object(timeline: Timeline, top_k: int) -> dict[str, Any]:
    """The windows of a video, each with the `top_k` best classes; none where it is unreadable."""
    windows = []
    for number, (start, end) in enumerate(timeline.spans.tolist()):
        top = timeline[number].top(top_k) if timeline.readable[number] else []
        window = {"start": round(start, 3), "end": round(end, 3)}
        windows.append({**window, "top": [of_guess(guess) for guess in top]})
    return {"video": timeline.path, "windows": windows, "unreadable": list(timeline.failures)}


def format_for(asked: str | None, out: Path | None) -> str:
    """What was asked for, else what the ending of the file says, else a table."""
    return asked or FORMATS.get(out.suffix.lower() if out else "", "table")
