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
from timesformer.weights.geometry import from_config_json, from_state, normalization, recorded
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

    @property
    def geometry(self) -> dict[str, Any]:
        """Arguments of `VisionTransformer`: those stated, the others read off the tensors."""
        return {**from_state(self.state), **self.stated}


def read_weights(source: str | Path) -> Weights:
    """Weights from a path or an address (`fetch`), of any known format (`formats.FORMATS`).

    A folder is read as Transformers writes it: its config.json and its one weights file. For a
    ``.safetensors`` file, a ``.json`` of the same name states the geometry (as `export` writes it).

    Raises:
        UserError: nothing there, unreadable, in need of code, or of an unknown format.
    """
    path = fetch(source)
    file = weights_file(path)
    state, rest = read_state(file)
    ours = recorded(rest, str(source)) or beside(file)
    translation = to_our_names(state, str(source), ours=bool(ours))
    return Weights(
        translation.state,
        str(source),
        translation.format,
        translation.dropped,
        translation.changes,
        ours or from_folder(file, str(source)),
        normalization(rest),
    )


def weights_file(path: Path) -> Path:
    """`path`, or the weights file in the folder `path`."""
    if not path.is_dir():
        return path
    for name in FOLDER_FILES:
        if (path / name).is_file():
            return path / name
    raise UserError(
        f"The folder '{path}' holds no weights: none of {', '.join(FOLDER_FILES)}. Name the file."
    )


def beside(file: Path) -> dict[str, Any]:
    """What the .json of the same name beside a safetensors file states, if it is one of ours."""
    path = file.with_suffix(".json")
    if file.suffix != ".safetensors" or not path.is_file():
        return {}
    try:
        content = read_json(path)
    except UserError as error:
        log.warning("%s says nothing of the network beside it: %s", path, error)
        return {}
    return recorded(content, str(path))


def from_folder(file: Path, source: str) -> dict[str, Any]:
    """What Transformers' config.json in the same folder states."""
    config = file.parent / "config.json"
    if file.name not in FOLDER_FILES or not config.is_file():
        return {}
    return from_config_json(read_json(config), source)
