"""The numbers of a check: first as plain values, then as text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import Any

from timesformer.preparation.facts import Facts, Line
from timesformer.preparation.lists import DataSet

_SHOWN = 10  # examples in the text; the files have all
_LONG_GAP = 0.5  # seconds without a frame; recordings of a screen have it, too


def report(data: DataSet, lines: Sequence[Line]) -> dict[str, Any]:
    """All numbers; keys in the order of the text.

    ``splits``: for each, lines, quarantined and labels (name to number of sound clips).
    ``classes_without_training_videos``: names. ``quarantined``: number of each kind.
    ``videos``: what the sound files are. ``misnamed``: their paths and containers.
    ``gaps``: paths and seconds of those with a long time without a frame.
    ``duplicates``: groups of equal content, see `_duplicates`.
    """
    sound = [line for line in lines if not line.problem]
    facts = {line.clip.path: line.facts for line in sound}
    return {
        "splits": {split: _split(data, split, lines) for split in data.lists},
        "classes_without_training_videos": _untrained(data, lines),
        "quarantined": dict(Counter(kind(line.problem) for line in lines if line.problem)),
        "left_out": [
            {"path": str(line.clip), "split": line.split, "reason": line.problem}
            for line in lines
            if line.problem
        ],
        "videos": _videos(list(facts.values())),
        "misnamed": {path: fact.container for path, fact in facts.items() if fact.is_misnamed},
        "gaps": {path: round(f.gap, 3) for path, f in facts.items() if f.gap > _LONG_GAP},
        "duplicates": _duplicates(lines),
    }


def kind(problem: str) -> str:
    """``too short`` of ``too short: 3 frames``."""
    return problem.partition(":")[0]


def _split(data: DataSet, split: str, lines: Sequence[Line]) -> dict[str, Any]:
    mine = [line for line in lines if line.split == split]
    counts = Counter(line.label for line in mine if not line.problem)
    name = data.lists[split].name_of
    return {
        "lines": len(mine),
        "quarantined": sum(1 for line in mine if line.problem),
        "labels": {name(label): counts[label] for label in sorted(counts)},
    }


def _untrained(data: DataSet, lines: Sequence[Line]) -> list[str]:
    """Classes that no sound training video shows: of those there are, or that others show."""
    if "train" not in data.lists:
        return []
    known = range(data.num_classes or max(line.label for line in lines) + 1)
    trained = {line.label for line in lines if line.split == "train" and not line.problem}
    return [data.lists["train"].name_of(label) for label in known if label not in trained]


def _videos(facts: Sequence[Facts]) -> dict[str, Any]:
    """Over the sound files, each once."""
    if not facts:
        return {"files": 0}
    seconds = [fact.frames / fact.fps for fact in facts]
    return {
        "files": len(facts),
        "bytes": sum(fact.bytes for fact in facts),
        "seconds": {"total": round(sum(seconds), 3), **_range(round(s, 3) for s in seconds)},
        "frames": {"total": sum(f.frames for f in facts), **_range(f.frames for f in facts)},
        "fps": _counts(f"{fact.fps:.5g}" for fact in facts),
        "sizes": _counts(f"{fact.width}x{fact.height}" for fact in facts),
        "formats": _counts(f"{f.codec} in {f.container}" if f.codec else "images" for f in facts),
    }


def _range(values: Iterable[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"min": ordered[0], "median": median(ordered), "max": ordered[-1]}


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _duplicates(lines: Sequence[Line]) -> dict[str, Any]:
    """Clips with equal content.

    ``between``: number of contents that two splits share. ``within``: number of lines of a split
    that repeat the content of one before. ``labelled_differently``: number of contents whose lines
    do not agree on the label. ``groups``: all lines of each repeated content.
    """
    groups: dict[tuple[object, ...], list[Line]] = defaultdict(list)
    for line in lines:
        if line.facts.digest:
            groups[line.content].append(line)
    repeated = [group for group in groups.values() if len(group) > 1]
    between: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for group in repeated:
        splits = Counter(line.split for line in group)
        between.update(" and ".join(pair) for pair in combinations(splits, 2))
        within.update({split: count - 1 for split, count in splits.items() if count > 1})
    return {
        "between": dict(between),
        "within": dict(within),
        "labelled_differently": sum(len({line.label for line in group}) > 1 for group in repeated),
        "groups": [[_member(line) for line in group] for group in repeated],
    }


def _member(line: Line) -> dict[str, Any]:
    return {"path": str(line.clip), "split": line.split, "label": line.label}


# --- text -----------------------------------------------------------------------------------------


def as_text(numbers: Mapping[str, Any]) -> str:
    """A page for a person."""
    parts = (
        *(_splits_text, _videos_text, _quarantine_text),
        *(_misnamed_text, _gaps_text, _duplicates_text),
    )
    return "".join(f"{line}\n" for part in parts for line in part(numbers))


def _splits_text(numbers: Mapping[str, Any]) -> Iterator[str]:
    for split, values in numbers["splits"].items():
        counts = values["labels"].values()
        left_out = f", {values['quarantined']} of them left out" if values["quarantined"] else ""
        spread = f"{min(counts)} to {max(counts)} clips in each of " if counts else ""
        yield f"{split}: {values['lines']} clips{left_out}; {spread}{len(counts)} classes"
    if untrained := numbers["classes_without_training_videos"]:
        yield f"Without a training video: {_some(untrained)}"


def _videos_text(numbers: Mapping[str, Any]) -> Iterator[str]:
    videos = numbers["videos"]
    if not videos["files"]:
        yield "No video is in order"
        return
    frames, seconds = videos["frames"], videos["seconds"]
    yield (
        f"{videos['files']} videos, {videos['bytes'] / 1e6:.1f} MB, {seconds['total'] / 3600:.2f} "
        f"hours; {frames['min']} to {frames['max']} frames (median {frames['median']:g}), "
        f"{seconds['min']:.1f} to {seconds['max']:.1f} s"
    )
    for title in ("fps", "sizes", "formats"):
        counts = [f"{name} ({count})" for name, count in videos[title].items()]
        yield f"  {title}: {_some(counts)}"


def _quarantine_text(numbers: Mapping[str, Any]) -> Iterator[str]:
    if not numbers["quarantined"]:
        yield "Nothing is quarantined"
        return
    kinds = ", ".join(f"{name} ({count})" for name, count in numbers["quarantined"].items())
    yield f"Quarantined: {kinds}"
    for line in numbers["left_out"][:_SHOWN]:
        yield f"  {line['split']}: {line['path']}: {line['reason']}"
    if len(numbers["left_out"]) > _SHOWN:
        yield f"  and {len(numbers['left_out']) - _SHOWN} more"


def _misnamed_text(numbers: Mapping[str, Any]) -> Iterator[str]:
    if misnamed := numbers["misnamed"]:
        names = [f"{path} is {container}" for path, container in misnamed.items()]
        yield f"Readable, but with the ending of another format: {_some(names)}"


def _gaps_text(numbers: Mapping[str, Any]) -> Iterator[str]:
    if gaps := numbers["gaps"]:
        longest = [f"{path} ({gaps[path]:.1f} s)" for path in sorted(gaps, key=gaps.__getitem__)]
        yield f"Without a frame for long, by damage or as recorded: {_some(longest[::-1])}"


def _duplicates_text(numbers: Mapping[str, Any]) -> Iterator[str]:
    duplicates = numbers["duplicates"]
    for pair, count in duplicates["between"].items():
        yield f"{count} contents are in {pair}"
    for split, count in duplicates["within"].items():
        yield f"{count} lines of {split} repeat the content of another"
    if count := duplicates["labelled_differently"]:
        yield f"{count} contents have more than one label"


def _some(values: Sequence[str]) -> str:
    rest = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(values[:_SHOWN]) + rest
