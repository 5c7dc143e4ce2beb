"""From a checkpoint in shares to one file, for everything that reads weights."""

from __future__ import annotations

import logging
from pathlib import Path

from timesformer.checkpoints import files
from timesformer.checkpoints.atomic import sha256_of
from timesformer.errors import UserError
from timesformer.progress import stages

log = logging.getLogger("timesformer")

OF_THE_FOLDER = ("sha256", "bytes")


def merge(folder: Path, out: Path | None = None) -> Path:
    """The same checkpoint as one file: `out`, or one beside `folder`.

    The latter is written once for each state of `folder`; its JSON has the SHA-256 of that as
    ``merged_from``.

    Raises:
        UserError: there is no such checkpoint, it is damaged, or the disk is full; or beside it
            lies a whole file of this name that a run has written.
    """
    path = out or folder.with_suffix(".pyth")
    if not folder.is_dir():
        raise UserError(f"{folder} is no checkpoint in shares (a folder, *.dcp)")
    facts = files.facts_of(folder)
    sha256 = facts.get("sha256") or sha256_of(folder)
    if out is None and is_merged(path, sha256):
        log.info("%s is already one file, %s", folder, path)
        return path
    with stages(3) as begin:
        begin("verifying the shares")
        files.verify(folder)
        begin("reading them")
        content = files.read(folder)
        begin("writing one file")
        facts = {name: value for name, value in facts.items() if name not in OF_THE_FOLDER}
        try:
            files.write(content, path, {**facts, "merged_from": sha256})
        except OSError as error:
            raise UserError(f"{path} could not be written ({error})") from error
    log.info("%s is now one file, %s", folder, path)
    return path


def is_merged(path: Path, sha256: str) -> bool:
    """Whether `path` is whole, and merged from the folder of this hash.

    Raises:
        UserError: it is whole, and no merged file at all, so that it would be lost.
    """
    if not path.is_file():
        return False
    try:
        is_whole = files.verify(path)
    except UserError as error:
        log.warning("merging again: %s", error)
        return False
    merged_from = files.facts_of(path).get("merged_from")
    if is_whole and merged_from is None:
        raise UserError(
            f"{path} was not merged from shares but written by a run, and would be lost. Name "
            "another file to write."
        )
    if not is_whole or merged_from != sha256:
        log.info("%s is not of its shares as they are now: merging again", path)
        return False
    return True
