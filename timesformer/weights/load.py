"""Weights of any source and format, under our names, with what is known of their network."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from timesformer.errors import UserError
from timesformer.weights import State
from timesformer.weights.files import read_json, read_state
from timesformer.weights.formats import to_our_names
from timesformer.weights.geometry import (
    class_names,
    from_config_json,
    from_state,
    normalization,
    recorded,
)
from timesformer.weights.hub import HUB_WEIGHTS as FOLDER_FILES
from timesformer.weights.sources import fetch

log = logging.getLogger("timesformer")


@dataclass(frozen=True)
class Weights:
    """The tensors of one network under our names, on the CPU."""

    state: State
    source: str
    """As it was asked for."""
    format: str = "TimeSformer"
    """The program the file comes from, for people."""
    dropped: list[str] = field(default_factory=list)
    """Names in the file that no network here has a use for."""
    changes: list[str] = field(default_factory=list)
    """What was changed besides names and layout, a line each."""
    stated: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `VisionTransformer` that the file, or the one beside it, states."""
    normalization: Mapping[str, list[float]] = field(default_factory=dict)
    """``mean`` and ``std`` of each channel, of values in 0..1, if the file states them."""
    class_names: tuple[str, ...] = ()
    """By label, if the file, or the one beside it, states them."""
    config: str = ""
    """The YAML text of the config that a checkpoint was written with, if it holds one."""

    @property
    def geometry(self) -> dict[str, Any]:
        """Arguments of `VisionTransformer`: those stated, the others read off the tensors."""
        return {**from_state(self.state), **self.stated}


def read_weights(source: str | Path, *, averaged: bool = False) -> Weights:
    """Weights from a path or an address (`fetch`), of any known format (`formats.FORMATS`).

    A folder is read as Transformers writes it: its config.json and its one weights file. For a
    ``.safetensors`` file, a ``.json`` of the same name states the geometry (as `export` writes it).
    `averaged`: the running average of the weights in a checkpoint of ours, instead of the weights.

    Raises:
        UserError: nothing there, unreadable, in need of code, or of an unknown format.
    """
    path = fetch(source)
    file = weights_file(path)
    state, rest = read_state(file, averaged=averaged)
    about, where = (rest, str(source)) if "geometry" in rest else beside(file)
    ours = recorded(about, where)
    config = {} if ours else config_json(file)
    translation = to_our_names(state, str(source), ours=bool(ours))
    return Weights(
        translation.state,
        str(source),
        translation.format,
        translation.dropped,
        translation.changes,
        ours or from_config_json(config, str(source)),
        normalization(rest),
        class_names(about) or class_names(config),
        str(rest.get("cfg") or ""),
    )


def weights_file(path: Path) -> Path:
    """`path`, or the weights file in the folder `path`."""
    if not path.is_dir():
        return path
    for name in FOLDER_FILES:
        if (path / name).is_file():
            return path / name
    if path.suffix == ".dcp":
        raise UserError(
            f"'{path}' is a checkpoint in shares. Make one file of it: python "
            f"tools/merge_checkpoint.py {path}"
        )
    raise UserError(
        f"The folder '{path}' holds no weights: none of {', '.join(FOLDER_FILES)}. Name the file."
    )


def beside(file: Path) -> tuple[Mapping[str, Any], str]:
    """What the .json of the same name beside a safetensors file says, and its path."""
    path = file.with_suffix(".json")
    if file.suffix != ".safetensors" or not path.is_file():
        return {}, str(path)
    try:
        return read_json(path), str(path)
    except UserError as error:
        log.warning("%s says nothing of the network beside it: %s", path, error)
        return {}, str(path)


def config_json(file: Path) -> Mapping[str, Any]:
    """Transformers' config.json in the same folder, if there is one."""
    path = file.parent / "config.json"
    return read_json(path) if file.name in FOLDER_FILES and path.is_file() else {}
