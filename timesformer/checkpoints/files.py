"""Checkpoint files: their names, written whole or not at all, read without executing anything.

::

    OUTPUT_DIR/checkpoints/checkpoint_epoch_00005.pyth                after 5 epochs
    OUTPUT_DIR/checkpoints/checkpoint_epoch_00005_step_00000123.pyth  in the 6th, 123 steps in all
    OUTPUT_DIR/checkpoints/checkpoint_best.pyth                       the best in validation so far
    OUTPUT_DIR/checkpoints/*.dcp                                      in shares: see `sharded`
    OUTPUT_DIR/checkpoints/*.json                                     what is in the file beside it
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import re
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import simplejson
import torch

import timesformer
from timesformer.checkpoints.atomic import (
    SET_ASIDE,
    TEMPORARY,
    discard,
    duplicate,
    replacing,
    sha256_of,
)
from timesformer.checkpoints.snapshot import Room, on_cpu
from timesformer.errors import UserError
from timesformer.weights.files import read_json, read_pickle

log = logging.getLogger("timesformer")

BEST = "checkpoint_best.pyth"
NAME = re.compile(r"checkpoint_epoch_(\d{5,})(?:_step_(\d{8,}))?\.(?:pyth|dcp)")

# Whose releases may change the numbers of a run.
PACKAGES = ("torch", "torchvision", "numpy", "av", "opencv-python-headless")


def folder(output_dir: str) -> Path:
    return Path(output_dir, "checkpoints")


def epoch_path(output_dir: str, epochs_done: int) -> Path:
    return folder(output_dir) / f"checkpoint_epoch_{epochs_done:05d}.pyth"


def step_path(output_dir: str, epochs_done: int, steps_done: int) -> Path:
    """Within an epoch: `epochs_done` are whole, `steps_done` counts from the start of the run."""
    name = f"checkpoint_epoch_{epochs_done:05d}_step_{steps_done:08d}.pyth"
    return folder(output_dir) / name


def json_path(path: Path) -> Path:
    """Where the facts about the checkpoint `path` lie; those of shares have a file of their own."""
    return path.with_suffix(".json" if path.suffix == ".pyth" else f"{path.suffix}.json")


def position(path: Path) -> tuple[int, int] | None:
    """Epochs done and, within an epoch, steps done, else -1; None for any other file.

    Positions are ordered as time is.
    """
    match = NAME.fullmatch(path.name)
    return (int(match[1]), int(match[2] or -1)) if match else None


def all_paths(output_dir: str) -> list[Path]:
    """The checkpoints of OUTPUT_DIR, newest first, but for the best one."""
    return checkpoints_in(folder(output_dir))


def checkpoints_in(place: Path) -> list[Path]:
    found = {path: position(path) for path in place.glob("checkpoint_epoch_*")}
    known = [(when, path) for path, when in found.items() if when is not None]
    return [path for _, path in sorted(known, reverse=True)]


def epoch_paths(output_dir: str) -> list[Path]:
    """The checkpoints of whole epochs, newest first."""
    return [path for path in all_paths(output_dir) if is_of_whole_epoch(path)]


def is_of_whole_epoch(path: Path) -> bool:
    when = position(path)
    return when is not None and when[1] < 0


def write(
    checkpoint: Mapping[str, Any], path: Path, facts: Mapping[str, Any] | None = None
) -> None:
    """Write `path`, whole or not at all, then its JSON: `facts`, versions and the file's hash.

    A run that is killed between the two leaves a checkpoint without JSON, which counts.

    Raises:
        OSError: the folder or the disk does not let it; `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        try:
            torch.save(checkpoint, file)
        except RuntimeError as error:  # which does not tell why nothing could be written
            raise file.error or error from error
        file.sync()
        # What is known of the former file of this name will no longer be true.
        json_path(path).unlink(missing_ok=True)
    described = describe(checkpoint, facts or {}, file.sha256.hexdigest(), file.bytes)
    write_json(json_path(path), described)


def not_written(path: Path, error: OSError, *, also: str = "") -> UserError:
    """The sentence for a checkpoint that could not be written; `also` is said beside that."""
    return UserError(
        f"the checkpoint {path} could not be written ({error}){also}; those before it are whole. "
        "Make room or choose another OUTPUT_DIR, and start again to continue."
    )


def describe(
    checkpoint: Mapping[str, Any], facts: Mapping[str, Any], sha256: str, size: int
) -> dict[str, Any]:
    """What the JSON beside a checkpoint holds."""
    config = str(checkpoint.get("cfg", ""))
    return {
        **facts,
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        "versions": versions(),
        "sha256": sha256,
        "bytes": size,
    }


def versions() -> dict[str, str]:
    """Of this package, Python, CUDA and the libraries that may change numbers."""
    known = {
        "timesformer": timesformer.__version__,
        "python": platform.python_version(),
        "cuda": torch.version.cuda or "none",
    }
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            known[package] = version(package)
    return known


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Atomically; numbers that are not finite become null, as JSON knows none."""
    with replacing(path) as file:
        file.write((simplejson.dumps(content, indent=1, ignore_nan=True) + "\n").encode())


def give_second_name(path: Path, other: Path) -> None:
    """Let `other` be the same checkpoint as `path`, facts included.

    Raises:
        OSError: the disk does not let it.
    """
    json_path(other).unlink(missing_ok=True)  # they are of the former one
    duplicate(path, other)
    duplicate(json_path(path), json_path(other))


def remove(path: Path) -> None:
    """The facts go first: a checkpoint without them counts, they alone would be litter."""
    discard(json_path(path))
    discard(path)


def remove_leftovers(output_dir: str) -> None:
    """Remove what a killed run was writing, and give back its name to what it was replacing.

    Only for who holds the lock of OUTPUT_DIR.
    """
    for path in sorted(folder(output_dir).glob(f"checkpoint_*{TEMPORARY}")):
        former = path.with_name(path.name.removesuffix(SET_ASIDE))
        try:
            if former.exists():  # maybe `path` itself
                log.info("removing %s, which a run that was killed did not finish", path)
                discard(path)
            elif path.exists():
                log.info("%s is back: a run was killed while replacing it", former)
                path.rename(former)
        except OSError as error:
            log.warning("%s, which a killed run has left, stays (%s)", path, error)


def read(path: str | os.PathLike[str], room: Room = on_cpu) -> dict[str, Any]:
    """The checkpoint at `path`.

    Args:
        path: a file, or a folder of shares, of which `room` says where each tensor shall be put
            (`sharding.room_for`); by default whole ones on the CPU.

    Raises:
        UserError: missing, truncated, or not a checkpoint; a file that would execute code is
            refused unread.
    """
    path = Path(path)
    if path.is_dir():
        from timesformer.checkpoints import sharded  # a second of imports, for who needs it

        checkpoint: object = sharded.read(path, room)
    elif path.is_file():
        checkpoint = read_pickle(path)
    else:
        raise UserError(f"no checkpoint file {path}")
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("model_state"), dict):
        raise UserError(f"{path} is not a checkpoint: it holds no model_state")
    return checkpoint


def facts_of(path: Path) -> dict[str, Any]:
    """What the JSON beside a checkpoint tells; nothing if there is none or it is broken."""
    if not json_path(path).is_file():
        return {}
    try:
        return read_json(json_path(path))
    except UserError as error:
        log.warning("%s is taken without its facts: %s", path, error)
        return {}


def verify(path: Path) -> bool:
    """Whether the checkpoint is known to be as it was written; False if no JSON tells its hash.

    Raises:
        UserError: it is not the one that the JSON beside it was written for.
    """
    stated = facts_of(path).get("sha256")
    if stated and stated != sha256_of(path):
        raise UserError(
            f"{path} is not as it was written: its SHA-256 is another than in "
            f"{json_path(path).name}. If it was changed on purpose, remove that."
        )
    return bool(stated)


def is_copy(path: Path) -> bool:
    """Whether it was merged from shares that are still there, maybe by now in a newer state."""
    shares = path.with_suffix(".dcp")
    return path != shares and shares.is_dir() and "merged_from" in facts_of(path)


def newest_good(output_dir: str) -> Path | None:
    """The newest checkpoint that is as it was written, or None.

    Those that it skips are named in the log. Shares come before the file merged from them, which
    may be older. Where no hash is known, a file is read to see whether it can be, and of shares
    all but the values of the tensors.
    """
    for path in sorted(all_paths(output_dir), key=newness, reverse=True):
        try:
            if not verify(path):
                probe(path)
            return path
        except UserError as error:
            log.warning("skipping a broken checkpoint: %s", error)
    return None


def newness(path: Path) -> tuple[tuple[int, int] | None, bool]:
    return position(path), not is_copy(path)


def probe(path: Path) -> None:
    """UserError if it cannot be a checkpoint, as far as `newest_good` looks."""
    if path.is_dir():
        from timesformer.checkpoints import sharded  # a second of imports, for who needs it

        sharded.check(path)
    else:
        read(path)
