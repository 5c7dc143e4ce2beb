"""Look at every video of a data set, and tell what is wrong with it.

::

    OUT/report.json       the numbers, for programs
    OUT/report.txt        the same for people
    OUT/quarantine.csv    what is left out of the lists, and why
    OUT/train.csv …       what is in order; absolute paths
    OUT/classes.txt       the names of the classes, where they are known

A check that is ended half-way keeps ``OUT/probed.jsonl`` and goes on from there.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from timesformer.errors import UserError
from timesformer.preparation.clips import Clip, clips_of, is_listable
from timesformer.preparation.facts import Facts, Line
from timesformer.preparation.lists import (
    DataSet,
    write_class_names,
    write_list,
    write_quarantine,
    write_text,
)
from timesformer.preparation.probe import probe
from timesformer.preparation.probed import Probed
from timesformer.preparation.report import as_text, report
from timesformer.preparation.workers import Crew, Lost
from timesformer.preparation.workplace import writing
from timesformer.progress import progress

log = logging.getLogger("timesformer")

REPORT = "report.json"


def check_dataset(
    data: DataSet,
    out: Path,
    crew: Crew,
    *,
    min_frames: int = 2,
    drop_duplicates: bool = False,
) -> bool:
    """Decode all, and write the files above; says what it found.

    Args:
        data: what to check.
        out: a folder, new or of an earlier check.
        crew: who does it; who takes longer for a video has not read it.
        min_frames: clips of fewer are quarantined.
        drop_duplicates: quarantine training videos with the content of one in another split, and
            all but the first of the same content in a split; otherwise they are only reported.

    Returns:
        Whether nothing was quarantined.

    Raises:
        UserError: `out` holds something else, is in use or cannot be written to; or `min_frames` is
            below 1.
        KeyboardInterrupt: somebody stopped the check; it says how to continue.
    """
    if min_frames < 1:
        raise UserError(f"--min-frames is {min_frames}; it must be 1 or more.")
    _check_folder(out, data)
    lines = _lines(data)
    clips = _by_path(lines)
    with writing(out):
        probed = Probed(out, data.frames_fps)
        facts = _probe_all(clips, data, crew, probed)
        frames = _frames_of_clips(clips, facts)
        for line in lines:
            line.facts = facts[line.clip.path]
            line.problem = _problem(line, frames.get(line.clip, 0), min_frames, data)
        if drop_duplicates:
            _mark_duplicates(lines)
        numbers = report(data, lines)
        # First, because it says whose the folder is: see `_check_folder`.
        write_text(out / REPORT, json.dumps(numbers, indent=2) + "\n")
        _write(out, data, lines, numbers)
        probed.remove()
    return not any(line.problem for line in lines)


def _check_folder(out: Path, data: DataSet) -> None:
    theirs = [out / f"{split}.csv" for split in data.lists if (out / f"{split}.csv").exists()]
    if theirs and not (out / REPORT).exists():
        raise UserError(f"'{out}' holds {theirs[0].name} of its own: name another --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"'{out}' is no folder and cannot become one ({error}).") from error


# --- what is known --------------------------------------------------------------------------------


def _lines(data: DataSet) -> list[Line]:
    return [
        Line(split, clip, int(label))
        for split, videos in data.lists.items()
        for clip, label in zip(clips_of(videos), videos.labels, strict=True)
    ]


def _by_path(lines: Sequence[Line]) -> dict[str, list[Clip]]:
    """The distinct clips of each video."""
    clips: dict[str, dict[Clip, None]] = defaultdict(dict)
    for line in lines:
        clips[line.clip.path][line.clip] = None
    return {path: list(parts) for path, parts in clips.items()}


def _probe_all(
    clips: Mapping[str, Sequence[Clip]], data: DataSet, crew: Crew, probed: Probed
) -> dict[str, Facts]:
    known = {path: probed.facts(parts) for path, parts in clips.items()}
    facts = {path: fact for path, fact in known.items() if fact is not None}
    paths = [path for path in clips if path not in facts]
    if facts:
        log.info("%d of %d were read before", len(facts), len(clips))
    with progress(len(paths), "check") as bar:
        function = partial(probe, data.frames_fps)
        for index, outcome in crew.outcomes(function, [clips[path] for path in paths]):
            path = paths[index]
            if isinstance(outcome, Lost):
                facts[path] = Facts(f"unreadable: {outcome}")
            else:
                facts[path] = outcome
                probed.add(clips[path], outcome)
            bar.update()
    return facts


def _frames_of_clips(
    clips: Mapping[str, Sequence[Clip]], facts: Mapping[str, Facts]
) -> dict[Clip, int]:
    return {
        clip: frames
        for path, parts in clips.items()
        for clip, frames in zip(parts, facts[path].clip_frames, strict=False)
    }


# --- what is wrong --------------------------------------------------------------------------------


def _problem(line: Line, frames: int, min_frames: int, data: DataSet) -> str:
    """Why a line is to be left out; "" if it is not. What is before the colon is its kind."""
    if data.num_classes is not None and not 0 <= line.label < data.num_classes:
        return f"label outside: {line.label} is not one of 0 to {data.num_classes - 1}"
    if not is_listable(line.clip.path):
        return "unlistable: its name has a line break, no UTF-8, or a space at its end; rename it"
    if line.facts.problem:
        return line.facts.problem
    if frames < min_frames:
        return f"too short: {frames} frames, and --min-frames is {min_frames}"
    return ""


def _mark_duplicates(lines: Sequence[Line]) -> None:
    """Of those with the same content, one stays in a split; none in training that is elsewhere."""
    sound = [line for line in lines if not line.problem]
    elsewhere = {line.content: line for line in sound if line.split != "train"}
    first: dict[tuple[object, ...], Line] = {}
    for line in sound:
        if line.split == "train" and line.content in elsewhere:
            other = elsewhere[line.content]
            line.problem = f"duplicate: of '{other.clip}' in {other.split}"
            continue
        kept = first.setdefault((line.split, line.content), line)
        if kept is not line:
            line.problem = f"duplicate: of '{kept.clip}' in {line.split}"


# --- what is said ---------------------------------------------------------------------------------


def _write(out: Path, data: DataSet, lines: Sequence[Line], numbers: Mapping[str, object]) -> None:
    for split in data.lists:
        kept = [line for line in lines if line.split == split and not line.problem]
        write_list(out / f"{split}.csv", ((line.clip, line.label) for line in kept))
    write_class_names(out, data.class_names)
    write_quarantine(
        out / "quarantine.csv",
        ((line.clip, line.split, line.problem) for line in lines if line.problem),
    )
    text = as_text(numbers)
    write_text(out / "report.txt", text)
    log.info("%s\nAll of it, and lists of what is in order, are in %s", text.rstrip(), out)
