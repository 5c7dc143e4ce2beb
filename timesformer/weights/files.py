"""Weights files: what they hold, read without executing anything in them."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from timesformer.errors import UserError
from timesformer.weights import State

# Released TimeSformer and ours; Lightning and MMAction2; DeiT; averages of timm; DINO; DeepSpeed.
CONTAINERS = (
    "model_state",
    "state_dict_ema",
    "state_dict",
    "model_ema",
    "model",
    "teacher",
    "student",
    "module",
)
# The last two are those of counters; anything else would not survive the way into a network.
DTYPES = (
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.int64,
    torch.int32,
)
SHOWN_NAMES = 3


def read_state(path: Path, *, averaged: bool = False) -> tuple[State, Mapping[str, Any]]:
    """The tensors of a weights file under the names in it, and what else the file holds.

    Args:
        path: ``.safetensors``; ``.npz`` (JAX); or anything `torch.save` writes (``.pth``,
            ``.pyth``, ``.pt``, ``.bin``): a state dict, or a checkpoint that holds one under a
            name of `CONTAINERS`.
        averaged: take the average of the weights that one of our checkpoints holds.

    Raises:
        UserError: unreadable or truncated, in need of code, or without a state dict.
    """
    content = reader_of(path)(path)
    state = unwrap(average_in(content, path) if averaged else content, path)
    return dict(state), {} if content is state or not isinstance(content, Mapping) else content


def reader_of(path: Path) -> Callable[[Path], object]:
    """By what the file begins with: names are changed, and links have others."""
    try:
        with path.open("rb") as file:
            beginning = file.read(9)
        if beginning[8:] == b"{" or path.suffix == ".safetensors":
            return read_safetensors
        if beginning.startswith(b"PK"):  # a zip archive, of NumPy's or of PyTorch's
            with zipfile.ZipFile(path) as archive:
                arrays = any(name.endswith(".npy") for name in archive.namelist())
            return read_npz if arrays else read_pickle
    except (OSError, zipfile.BadZipFile) as error:
        raise unreadable(path, error) from error
    return read_pickle


def read_safetensors(path: Path) -> State:
    """The tensors of a safetensors file, which cannot hold anything else."""
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise unreadable(path, error) from error


def read_npz(path: Path) -> State:
    """The arrays of a NumPy archive, as JAX projects publish them."""
    try:
        # Opened here, because of a broken archive NumPy forgets to close the file.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: torch.from_numpy(np.array(archive[name])) for name in archive.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise unreadable(path, error) from error


def read_pickle(path: Path) -> object:
    """What `torch.save` wrote, as long as it is tensors and plain values alone."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # A damaged pickle fails in whatever way its damaged bytes ask for: the type says nothing.
    except Exception as error:
        if wanted := re.search(r"GLOBAL (\S+)", str(error)):
            raise UserError(
                f"'{path}' was refused: to load it, Python would have to execute code from it "
                f"({wanted[1]}). Ask for a file that holds tensors alone, best as .safetensors."
            ) from error
        raise unreadable(path, error) from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; UserError for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not isinstance(content, dict):
        raise UserError(f"'{path}' holds no JSON object (it is a {type(content).__name__}).")
    return content


def unreadable(path: Path, error: Exception) -> UserError:
    """The sentence for a file that is no weights file, or only part of one."""
    reason = (str(error).splitlines() or [""])[0][:120] or "it ends too early"
    if "weights_only" in reason:  # PyTorch's advice is to execute what is in the file
        reason = "no file of torch.save"
    return UserError(
        f"'{path}' cannot be read as a weights file; it is truncated or of another kind "
        f"({type(error).__name__}: {reason}). Copy or download it again."
    )


def average_in(content: object, path: Path) -> object:
    """What TRAIN.EMA_DECAY has left in a checkpoint."""
    average = content.get("ema_state") if isinstance(content, Mapping) else None
    if not average:
        raise UserError(
            f"'{path}' holds no average of the weights (ema_state): it was not trained with "
            "TRAIN.EMA_DECAY. Set TEST.USE_EMA False, or name another file."
        )
    return average


def unwrap(content: object, path: Path) -> Mapping[str, Tensor]:
    """The state dict in `content`, which is one or holds one under a name of `CONTAINERS`."""
    for name in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"'{path}' holds no named tensors (it is a {type(content).__name__}).")
    if strange := [str(name) for name, value in content.items() if not is_entry(name, value)]:
        raise UserError(
            f"'{path}' holds no plain state dict: {summary(strange)} are no plain tensors. "
            f"Expected a mapping of names to tensors, or one under {', '.join(CONTAINERS)}."
        )
    return content


def is_entry(name: object, value: object) -> bool:
    """Whether the pair belongs in a state dict: a name and a dense tensor with values."""
    if not (isinstance(name, str) and isinstance(value, Tensor)):
        return False
    return value.layout is torch.strided and not value.is_meta and value.dtype in DTYPES


def summary(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more
