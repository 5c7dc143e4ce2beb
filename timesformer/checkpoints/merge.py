"""From a checkpoint in shares to one file, for everything that reads weights."""

from __future__ import annotations

import logging
from pathlib import Path

from timesformer.checkpoints import files
from timesformer.errors import UserError
from timesformer.weights.files import read_json

log = logging.getLogger("timesformer")

OF_THE_FOLDER = ("sha256", "bytes")


def merge(folder: Path, out: Path | None = None) -> Path:
    """The same checkpoint as one file: `out`, or one beside `folder`, which is written once.

    Raises:
        UserError: there is no such checkpoint, it is damaged, or the disk is full.
    """
    path = out or folder.with_suffix(".pyth")
    if out is None and path.is_file():
        return path
    if not folder.is_dir():
        raise UserError(f"{folder} is no checkpoint in shares (a folder, *.dcp)")
    files.verify(folder)
    facts = read_json(about) if (about := files.json_path(folder)).is_file() else {}
    content = files.read(folder)
    try:
        files.write(content, path, {k: v for k, v in facts.items() if k not in OF_THE_FOLDER})
    except OSError as error:
        raise UserError(f"{path} could not be written ({error})") from error
    log.info("%s is now one file, %s", folder, path)
    return path
