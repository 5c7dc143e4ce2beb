"""Weights files: their tensors under plain names, without executing anything in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from timesformer.errors import UserError

State = dict[str, Tensor]

CONTAINERS = ("model_state", "state_dict", "model")  # released TimeSformer and ours, timm, DeiT
WRAPPERS = re.compile(r"^(module\.|model\.)+")  # DDP, and the registered entry points
SHOWN_NAMES = 3


def load_state_file(path: str | Path) -> State:
    """The tensors of a weights file under plain names, on the CPU; nothing in it is executed.

    Args:
        path: ``.safetensors``, or anything `torch.save` writes (``.pth``, ``.pyth``, ``.pt``): a
            state dict, or a checkpoint that holds one under ``model_state``, ``state_dict`` or
            ``model``. Prefixes ``module.`` and ``model.`` are taken off the names.

    Raises:
        UserError: no such file, unreadable or truncated, in need of code, or without a state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no weights file '{path}': check the path.")
    content = read_safetensors(path) if path.suffix == ".safetensors" else read_pickle(path)
    return {WRAPPERS.sub("", name): tensor for name, tensor in unwrap(content, path).items()}


def read_safetensors(path: Path) -> State:
    """The tensors of a safetensors file, which cannot hold anything else."""
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
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


def unreadable(path: Path, error: Exception) -> UserError:
    """The sentence for a file that is no weights file, or only part of one."""
    reason = (str(error).splitlines() or [""])[0][:120] or "it ends too early"
    return UserError(
        f"'{path}' cannot be read as a weights file; it is truncated or of another kind "
        f"({type(error).__name__}: {reason}). Copy or download it again."
    )


def unwrap(content: object, path: Path) -> Mapping[str, Tensor]:
    """The state dict in `content`, which is one or holds one under a name of `CONTAINERS`."""
    for name in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"'{path}' holds no named tensors (it is a {type(content).__name__}).")
    if strange := [str(name) for name, value in content.items() if not is_entry(name, value)]:
        raise UserError(
            f"'{path}' holds no plain state dict: {summary(strange)} are no tensors. Expected a "
            f"mapping of names to tensors, or one under {', '.join(CONTAINERS)}."
        )
    return content


def is_entry(name: object, value: object) -> bool:
    """Whether the pair belongs in a state dict."""
    return isinstance(name, str) and isinstance(value, Tensor)


def summary(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more
