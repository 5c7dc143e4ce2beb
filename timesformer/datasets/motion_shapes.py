"""MotionShapes: small real videos, made by a formula, written to a folder with its lists.

Three tasks with clips that look alike, in `timesformer.synthetic`: `direction`, in which only the
motion tells the class; `appearance`, in which every single frame does; `order`, in which only the
order of three events far apart does.
"""

from __future__ import annotations

import fcntl
import glob
import json
import logging
import multiprocessing
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from timesformer.errors import UserError
from timesformer.progress import progress
from timesformer.signals import blocked, obey_parent_alone
from timesformer.synthetic.tasks import SPLITS, TASKS, Task

_CLIPS_WORTH_A_PROCESS = 200  # 2 seconds of work; a process takes about half a second to start

_logger = logging.getLogger(__name__)


def ensure_motion_shapes(
    root: str | os.PathLike[str],
    *,
    task: str = "direction",
    seed: int = 0,
    num_train: int | None = None,
    num_val: int | None = None,
    num_test: int | None = None,
    force: bool = False,
) -> None:
    """Make the data set in the folder `root`, unless it is there already.

    It is written beside `root` and renamed when complete, so that `root` never holds half of it;
    and under a lock, so that of several processes one makes it while the others wait.

    Args:
        root: will hold ``{train,val,test}.csv``, ``classes.txt``, ``meta.json`` and ``videos/``.
        task: what its classes are: `direction`, `appearance` or `order`.
        seed: of all randomness, 0 or more.
        num_train: clips of the training split, 1 or more; None for as many as the task usually has.
            `num_val` and `num_test` likewise.
        force: replace a MotionShapes set that is there, whatever its task, seed, sizes and version.

    Raises:
        UserError: `root` holds something else, or another MotionShapes and not `force` (neither is
            touched); it cannot be written; the task, the seed or a size is not allowed; a script
            that does without ``if __name__ == "__main__"`` calls it once more in each process.
    """
    root = Path(root).expanduser().resolve()
    chosen = _task(task)
    meta = _describe(chosen, seed, {"train": num_train, "val": num_val, "test": num_test})
    if not force and _is_made(root, meta):
        return
    _refuse_in_a_writer()
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with _lock(root.with_name(f".{root.name}.lock")):
            if force or not _is_made(root, meta):
                _make(root, chosen, meta)
    except OSError as error:
        raise UserError(
            f"MotionShapes could not be written to '{root}': {error}. Name another folder."
        ) from error


def _refuse_in_a_writer() -> None:
    """A process that is being started imports the script, and would wait for who waits for it."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UserError(
            "MotionShapes is made by several processes, each of which imports the script that asks "
            'for it: there, put what is to be done once under `if __name__ == "__main__":`.'
        )


def _task(name: str) -> Task:
    if name not in TASKS:
        raise UserError(f"'{name}' is not a task of MotionShapes; known: {', '.join(TASKS)}")
    return TASKS[name]


def _describe(task: Task, seed: int, asked: dict[str, int | None]) -> dict[str, Any]:
    """What meta.json says: two sets with the same description are the same set."""
    num_clips = {
        split: task.num_clips[split] if num is None else num for split, num in asked.items()
    }
    if seed < 0 or min(num_clips.values()) < 1:
        raise UserError(
            f"MotionShapes needs a seed of 0 or more and a clip or more in every split, "
            f"not seed {seed} and {num_clips}."
        )
    return {"name": task.name, "version": task.version, "seed": seed, "num_clips": num_clips}


def _is_made(root: Path, meta: dict[str, Any]) -> bool:
    """Whether the set described by `meta` is in `root`; UserError if another one is."""
    found = _find(root)
    if found is None or found == meta:
        return found is not None
    raise UserError(
        f"'{root}' holds another MotionShapes ({found}) than the one asked for ({meta}). "
        "Remake it with tools/make_motion_shapes.py --force, or name another folder: "
        "DATA.PATH_TO_DATA_DIR of a config, --out of the tool."
    )


def _find(root: Path) -> dict[str, Any] | None:
    """The description of the set in `root`, None if nothing is there; UserError for a stranger."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        meta = json.loads((root / "meta.json").read_text())
    except (OSError, ValueError):
        meta = None
    names = {task.name for task in TASKS.values()}
    if not isinstance(meta, dict) or meta.get("name") not in names:
        raise UserError(
            f"'{root}' is not a MotionShapes data set: it has no meta.json that says so. It is "
            "left as it is; name another folder, or move this one away."
        )
    return meta


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold `path` against other processes; the system lets go of it however this one ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(root: Path, task: Task, meta: dict[str, Any]) -> None:
    """Write the set beside `root` and put it there. Only under the lock: leftovers are cleared."""
    _find(root)  # even --force replaces nothing but a MotionShapes
    for leftover in root.parent.glob(f".{glob.escape(root.name)}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # Never the same name twice: a killed run can leave processes that write for a moment yet.
    partial = root.with_name(f".{root.name}.partial-{uuid.uuid4().hex}")
    _logger.info("making %s in %s", task.name, root)
    try:
        _fill(partial / "new", task, meta)
        if root.exists():
            root.rename(partial / "old")
        (partial / "new").rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fill(folder: Path, task: Task, meta: dict[str, Any]) -> None:
    clips = [(split, index) for split, num in meta["num_clips"].items() for index in range(num)]
    for split in SPLITS:
        (folder / "videos" / split).mkdir(parents=True)
        lines = [f"{_name(*clip)} {task.label(clip[1])}\n" for clip in clips if clip[0] == split]
        (folder / f"{split}.csv").write_text("".join(lines))
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in task.classes))
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")
    _write_in_parallel(folder, task, meta["seed"], clips)


def _name(split: str, index: int) -> str:
    return f"videos/{split}/{index:05d}.mp4"


def _write_in_parallel(folder: Path, task: Task, seed: int, clips: list[tuple[str, int]]) -> None:
    """Write the videos, shared out between this process and as many others as are worth starting.

    Processes, because threads take turns at the interpreter lock and are no faster than one. Not a
    pool: that would outlive a parent that is killed, or restart for ever workers that cannot start.
    """
    num_shares = min(os.cpu_count() or 1, 1 + len(clips) // _CLIPS_WORTH_A_PROCESS)
    shares = [clips[first::num_shares] for first in range(num_shares)]
    workers = [
        multiprocessing.get_context("spawn").Process(
            target=_write_share, args=(folder, task, seed, share), daemon=True
        )
        for share in shares[1:]
    ]
    with blocked():
        for worker in workers:
            worker.start()
    try:
        with progress(len(shares[0]), f"{task.name}, a share of {num_shares}", "clip") as bar:
            for clip in shares[0]:
                task.write(folder / _name(*clip), seed, *clip)
                bar.update()
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:  # which, after Ctrl-C, would write to a folder that is gone
            worker.terminate()
            worker.join()
    if any(worker.exitcode != 0 for worker in workers):
        raise OSError("a process that wrote videos failed, as it says above")


def _write_share(folder: Path, task: Task, seed: int, clips: list[tuple[str, int]]) -> None:
    obey_parent_alone()  # who alone obeys Ctrl-C
    for clip in clips:
        task.write(folder / _name(*clip), seed, *clip)
