"""From the defaults, a YAML file and KEY VALUE pairs to one validated, frozen config."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode

from timesformer.config.defaults import KEYS
from timesformer.config.legacy import LEGACY, drop
from timesformer.config.validate import validate
from timesformer.errors import UserError
from timesformer.registry import closest


def get_cfg() -> CfgNode:
    """A fresh, unfrozen config with every key at its default."""
    cfg = CfgNode()
    for key in KEYS.values():
        default = list(key.default) if isinstance(key.default, list) else key.default
        _set(cfg, key.name, default)
    return cfg


def load_config(path: str | os.PathLike[str] | None = None, opts: Sequence[Any] = ()) -> CfgNode:
    """Merge, validate and freeze.

    Args:
        path: YAML file; ``_BASE_`` in it names a file, relative to it, to inherit from.
        opts: KEY VALUE pairs that win over the file, ``["TRAIN.BATCH_SIZE", "8"]``. A string is
            read as YAML would read it.

    Raises:
        UserError: unknown key, wrong type or value, keys that contradict each other.
    """
    cfg = get_cfg()
    if path is not None:
        for name, value in _flatten(read_yaml(path)):
            _merge(cfg, name, value, where=str(path))
    for name, value in pair_up(opts):
        _merge(cfg, name, value, where="command line")
    validate(cfg)
    cfg.freeze()
    return cfg


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The nested mapping of a YAML file and its bases; never executes anything in them."""
    try:
        loaded = CfgNode.load_yaml_with_base(str(path))
    except FileNotFoundError as error:
        raise UserError(f"no config file {error.filename} (--cfg {path})") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UserError(f"the _BASE_ files of {path} inherit in a circle") from error
    except (OSError, UnicodeDecodeError, TypeError, AssertionError) as error:
        raise UserError(f"cannot read the config file {path}: {error}") from error
    if not isinstance(loaded, dict):
        raise UserError(f"{path} holds no KEY: VALUE pairs")
    return loaded


def pair_up(opts: Sequence[Any]) -> list[tuple[str, Any]]:
    """``[KEY, VALUE, ...]`` as pairs, string values parsed."""
    if len(opts) % 2:
        raise UserError(
            f"command line: overrides come as KEY VALUE pairs, but '{opts[-1]}' has no partner"
        )
    return [(str(name), _parse(value)) for name, value in zip(opts[::2], opts[1::2], strict=True)]


def _merge(cfg: CfgNode, name: str, value: Any, where: str) -> None:
    if name in LEGACY:
        drop(name, value, where)
        return
    if name not in KEYS:
        raise UserError(f"{where}: {name} is not a config key.{closest(name, KEYS)}")
    key = KEYS[name]
    value = key.accept(_parse(value) if not isinstance(key.default, str) else value, where)
    _set(cfg, name, expand_path(value, name) if key.path else value)


def _flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _parse(value: Any) -> Any:
    """A string as the YAML value it spells; 1e-4 too, which YAML 1.1 takes for a word."""
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", value):
        return float(value)
    try:
        return yaml.safe_load(value) if value else value
    except yaml.YAMLError:
        return value


def _set(cfg: CfgNode, name: str, value: Any) -> None:
    *sections, last = name.split(".")
    for section in sections:
        cfg = cfg.setdefault(section, CfgNode())
    cfg[last] = value


def expand_path(value: str, name: str) -> str:
    """`value` stripped, ``~`` and ``$NAME`` expanded; UserError for a variable that is not set."""
    expanded = os.path.expanduser(os.path.expandvars(value.strip()))
    if missing := re.search(r"\$\{?\w+\}?", expanded):
        raise UserError(f"{name} is '{value}', but the variable {missing.group()} is not set")
    return expanded


def dump(cfg: CfgNode, path: Path) -> None:
    """Write the resolved config as YAML that `load_config` reads back to the same config."""
    path.write_text(cfg.dump())
