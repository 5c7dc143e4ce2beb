"""Make a new data set of the clips of another: whole files only, each once, in any number of runs.

::

    OUT/manifest.jsonl      what has been made, of what, and how
    OUT/…/name.mp4          made aside, synced, and put in its place
    OUT/failed.csv          what could not be read
    OUT/train.csv …         written last; paths relative to OUT
    OUT/classes.txt         the names of the classes, where they are known
"""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av

from timesformer.errors import UnreadableVideo, UserError
from timesformer.preparation.clips import Clip, clips_of, distinct, name_outputs, size_of, stamp
from timesformer.preparation.encode import VideoSettings, write_video
from timesformer.preparation.extract import FrameSettings, write_frames
from timesformer.preparation.lists import DataSet, write_class_names, write_list, write_quarantine
from timesformer.preparation.manifest import MANIFEST, Entry, Made, Manifest
from timesformer.preparation.workers import How
from timesformer.preparation.workplace import ASIDE, writing
from timesformer.progress import progress

log = logging.getLogger("timesformer")

FAILED = "failed.csv"

Make = Callable[[Clip, Path], Made]


@dataclass(frozen=True)
class Task:
    """A clip to make something of, and where, relative to the new data set."""

    clip: Clip
    output: str


def prepare_dataset(data: DataSet, out: Path, settings: VideoSettings, how: How) -> None:
    """Re-encode every clip of a data set, and write lists of what it then is; see `write_video`.

    Raises:
        UserError: `out` holds something else, or the same made otherwise; it cannot be written to;
            or more clips than allowed cannot be read.
    """
    produce(data, out, partial(write_video, settings=settings), ".mp4", _tell(settings), how)


def extract_frames(data: DataSet, out: Path, settings: FrameSettings, how: How) -> None:
    """Write every clip of a data set as a folder of images, and lists; see `write_frames`.

    Raises:
        UserError: as `prepare_dataset`.
    """
    entries = produce(data, out, partial(write_frames, settings=settings), "", _tell(settings), how)
    rates = sorted({entry.made.fps for entry in entries})
    if len(rates) > 1:
        log.warning(
            "The videos have %d rates, %g to %g frames per second, and folders of frames can state "
            "only one: DATA.FRAMES_FPS. Clips of equal times need --fps.",
            len(rates),
            rates[0],
            rates[-1],
        )
    log.info("Train on them with DATA.FRAMES_FPS %g", rates[-1])


def _tell(settings: VideoSettings | FrameSettings) -> dict[str, Any]:
    return {"kind": type(settings).__name__, **asdict(settings)}


def produce(
    data: DataSet, out: Path, make: Make, extension: str, settings: Mapping[str, Any], how: How
) -> list[Entry]:
    """Make what is not there yet, then write the lists; says what it did. Returns all there is."""
    lists = {split: clips_of(videos) for split, videos in data.lists.items()}
    names = name_outputs(distinct(lists), extension)
    tasks = [Task(clip, name) for clip, name in names.items()]
    with writing(out):
        manifest = _open_manifest(out, tasks, settings, overwrite=how.overwrite)
        failed = _make_missing(out, tasks, manifest, make, settings, how)
        write_quarantine(
            out / FAILED,
            (
                (clip, split, failed[clip])
                for split, clips in lists.items()
                for clip in clips
                if clip in failed
            ),
        )
        _check_failed(out, failed, len(tasks), how.max_failed_fraction)
        made = {clip: Clip(name) for clip, name in names.items() if clip not in failed}
        _write_lists(out, data, lists, made)
    entries = [manifest.entries[clip.path] for clip in made.values()]
    _say(out, data, entries, failed)
    return entries


# --- making ---------------------------------------------------------------------------------------


def _make_missing(
    out: Path,
    tasks: Sequence[Task],
    manifest: Manifest,
    make: Make,
    settings: Mapping[str, Any],
    how: How,
) -> dict[Clip, str]:
    """Make what the manifest does not have; returns why the others could not be made."""
    missing = [task for task in tasks if not _is_made(out, task, manifest, settings)]
    if len(missing) < len(tasks):
        log.info("%d of %d are there already", len(tasks) - len(missing), len(tasks))
    failed: dict[Clip, str] = {}
    function = partial(_make_one, out, make, dict(settings))
    with progress(len(missing), out.name) as bar:
        for index, outcome in how.crew.outcomes(function, missing):
            if isinstance(outcome, Entry):
                manifest.add(outcome)
            else:
                failed[missing[index].clip] = outcome
            bar.update()
    return failed


def _is_made(out: Path, task: Task, manifest: Manifest, settings: Mapping[str, Any]) -> bool:
    entry = manifest.entries.get(task.output)
    return (
        entry is not None
        and (entry.clip, entry.settings) == (task.clip, settings)
        and entry.stamp == stamp(task.clip.path)
        and entry.made.bytes == _bytes_at(out / task.output)
    )


def _bytes_at(path: Path) -> int | None:
    try:
        if path.is_dir():
            return sum(item.stat().st_size for item in os.scandir(path))
        return path.stat().st_size
    except OSError:
        return None


def _make_one(out: Path, make: Make, settings: Mapping[str, Any], task: Task) -> Entry | str:
    """In a worker: make one thing, whole or not at all; or say why its source cannot be read."""
    aside, target = out / ASIDE / uuid.uuid4().hex, out / task.output
    try:
        before, size = stamp(task.clip.path), size_of(task.clip.path)
    except OSError as error:
        return error.strerror or str(error)
    try:
        made = make(task.clip, aside)
        _put(aside, target)
    except UnreadableVideo as error:
        _remove(aside)
        return error.reason
    except (OSError, av.FFmpegError) as error:
        _remove(aside)
        raise UserError(
            f"{target} cannot be written ({error}). What is done stays: make room, and start the "
            "same command again to continue."
        ) from error
    return Entry(task.clip, before, size, task.output, made, settings)


def _put(aside: Path, target: Path) -> None:
    if aside.is_dir():
        _remove(target)  # a folder replaces none that holds something
    else:
        with aside.open("rb") as file:
            os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(aside, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


# --- the folder -----------------------------------------------------------------------------------


def _open_manifest(
    out: Path, tasks: Sequence[Task], settings: Mapping[str, Any], *, overwrite: bool
) -> Manifest:
    """UserError unless the folder is ours: new, or made with the same settings or to replace."""
    if not (out / MANIFEST).exists() and _holds_something(out):
        raise UserError(
            f"'{out}' holds something else: it has no {MANIFEST}. Nothing there is touched; name "
            "a new folder with --out."
        )
    _check_sources_elsewhere(out, tasks)
    manifest = Manifest(out)
    for entry in manifest.entries.values():
        if entry.settings != settings and not overwrite:
            raise UserError(
                f"'{out}' was made otherwise ({_differences(entry.settings, settings)}). Name "
                "another --out, ask for the same again, or replace what is there with --overwrite."
            )
    manifest.begin()
    return manifest


def _holds_something(out: Path) -> bool:
    return any(path.name not in (".lock", ASIDE) for path in out.iterdir())


def _check_sources_elsewhere(out: Path, tasks: Sequence[Task]) -> None:
    targets = {os.path.abspath(out / task.output) for task in tasks}
    for task in tasks:
        if task.clip.path in targets:
            raise UserError(
                f"'{task.clip.path}' would be replaced by what is made of it: name another --out."
            )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return ", ".join(f"{key} {old.get(key)}, now {new.get(key)}" for key in keys)


# --- the end --------------------------------------------------------------------------------------


def _check_failed(out: Path, failed: Mapping[Clip, str], total: int, allowed: float) -> None:
    if not failed or (len(failed) < total and len(failed) <= allowed * total):
        return
    clip, reason = next(iter(failed.items()))
    raise UserError(
        f"{len(failed)} of {total} videos cannot be read; the first is '{clip}': {reason}. All are "
        f"in {out / FAILED}. No lists were written: repair them and start again to continue, or "
        "allow more with --max-failed-fraction."
    )


def _write_lists(
    out: Path,
    data: DataSet,
    lists: Mapping[str, Sequence[Clip]],
    made: Mapping[Clip, Clip],
) -> None:
    write_class_names(out, data.class_names)
    for split, clips in lists.items():
        labels = data.lists[split].labels
        rows = ((clip, int(label)) for clip, label in zip(clips, labels, strict=True))
        write_list(
            out / f"{split}.csv", ((made[clip], label) for clip, label in rows if clip in made)
        )


def _say(out: Path, data: DataSet, entries: Sequence[Entry], failed: Mapping[Clip, str]) -> None:
    before = {entry.clip.path: entry.source_bytes for entry in entries}
    log.info(
        "%s: %d videos, %d frames, %s; before, %s",
        out,
        len(entries),
        sum(entry.made.frames for entry in entries),
        _megabytes(sum(entry.made.bytes for entry in entries)),
        _megabytes(sum(before.values())),
    )
    if failed:
        log.warning("%d could not be read and are in no list: see %s", len(failed), out / FAILED)
    folder = os.path.abspath(out)
    lists = " ".join(f"{folder}/{split}.csv" for split in data.lists)
    log.info("Check them with  python tools/check_dataset.py %s", lists)
    log.info(
        "Train on them with  python tools/run_net.py --cfg … TRAIN.DATASET %s TEST.DATASET %s "
        "DATA.PATH_TO_DATA_DIR %s DATA.PATH_PREFIX %s",
        data.name,
        data.name,
        folder,
        folder,
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
