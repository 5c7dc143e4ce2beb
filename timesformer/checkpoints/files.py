"""Checkpoint files: written whole or not at all, read without executing anything.

::

    OUTPUT_DIR/checkpoints/checkpoint_epoch_00005.pyth   after 5 epochs (the released code's name)
    OUTPUT_DIR/checkpoints/checkpoint_best.pyth          the best validation accuracy so far
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from timesformer.errors import UserError
from timesformer.weights.files import read_pickle

log = logging.getLogger("timesformer")

BEST = "checkpoint_best.pyth"


def folder(output_dir: str) -> Path:
    return Path(output_dir, "checkpoints")


def epoch_path(output_dir: str, epochs_done: int) -> Path:
    return folder(output_dir) / f"checkpoint_epoch_{epochs_done:05d}.pyth"


def epoch_paths(output_dir: str) -> list[Path]:
    """The checkpoints of whole epochs, newest first."""
    pattern = f"checkpoint_epoch_{'[0-9]' * 5}.pyth"
    return sorted(folder(output_dir).glob(pattern), reverse=True)


def write(checkpoint: dict[str, Any], path: Path) -> None:
    """Write to a temporary file beside `path`, sync it, rename it: `path` is whole or untouched.

    Raises:
        UserError: the folder or the disk does not let it.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise UserError(
            f"the checkpoint {path} could not be written ({error}); those before it are whole. "
            "Make room or choose another OUTPUT_DIR, and start again to continue."
        ) from error


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The checkpoint at `path`, on the CPU.

    Raises:
        UserError: missing, truncated, or not a checkpoint; a file that would execute code is
            refused unread.
    """
    if not os.path.isfile(path):
        raise UserError(f"no checkpoint file {path}")
    checkpoint = read_pickle(Path(path))
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("model_state"), dict):
        raise UserError(f"{path} is not a checkpoint: it holds no model_state")
    return checkpoint


def newest_good(output_dir: str) -> Path | None:
    """The newest checkpoint of a whole epoch that can be read, or None; names those it skips."""
    for path in epoch_paths(output_dir):
        try:
            read(path)
            return path
        except UserError as error:
            log.warning("skipping a broken checkpoint: %s", error)
    return None
