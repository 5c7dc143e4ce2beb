"""What a number is of: the machine, the program, the commit; and how a run's are kept beside it."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from timesformer.errors import UserError
from timesformer.experiments.plan import Run

FILE = "reproduced.json"
"""In the folder of a run. It names the result of a run that is done, and seconds in any case."""


def read_facts(folder: Path) -> dict[str, Any]:
    """Of the run in `folder`; nothing where none has been yet.

    Raises:
        UserError: the file is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return {}
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{file} is damaged ({error}): remove it, and the run tests anew"
        ) from error
    return dict(facts)


def is_done(facts: Mapping[str, Any]) -> bool:
    return "top1_acc" in facts


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    temporary = folder / f"{FILE}.tmp"
    temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, folder / FILE)


def note_weights(run: Run) -> None:
    """Keep of which weights it starts, the first time that it does."""
    facts, weights = read_facts(run.folder), weights_of(run)
    if weights and "weights" not in facts:
        write_facts(run.folder, facts | {"weights": weights})


def weights_of(run: Run) -> dict[str, Any] | None:
    """The file that it starts from, and what is in it; None where there is none on this machine."""
    file = Path(run.resolved.TIMESFORMER.PRETRAINED_MODEL)
    if not file.is_file():
        return None
    state = file.stat()
    return {"file": str(file), "sha256": content(file, state.st_size, state.st_mtime_ns)}


@functools.cache
def content(file: Path, size: int, modified_ns: int) -> str:
    """A file's sha256, read again where its size or its time has changed: many runs share one."""
    from timesformer.checkpoints.atomic import sha256_of

    return sha256_of(file)


def has_other_weights(run: Run) -> bool:
    """Whether the file that it started from has been replaced since."""
    noted, now = read_facts(run.folder).get("weights"), weights_of(run)
    return None not in (noted, now) and noted != now


def surroundings(root: Path, *, threads: int | None) -> dict[str, Any]:
    """What is not in a config and yet may change the last digits of a number.

    Args:
        root: the folder of the repository.
        threads: of the arithmetic of a run; None where that is not for us to say.
    """
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "torch": version("torch"),
        "timesformer": version("timesformer"),
        "commit": commit(root),
    }


def processor() -> str:
    """Its name as Linux tells it, elsewhere its kind."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit(root: Path) -> str | None:
    """The commit of `root`, with a + where the package differs from it; None outside of git."""
    try:
        head = git(root, "rev-parse", "--short=12", "HEAD")
        changed = git(root, "status", "--porcelain", "--", "timesformer", "configs", "tools")
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()
