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

BASE_KEY = "_BASE_"


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
            read as YAML would read it, unless the key takes strings.

    Raises:
        UserError: unknown key, wrong type or value, keys that contradict each other.
    """
    return resolve({} if path is None else read_yaml(path), opts, where=str(path))


def resolve(tree: dict[str, Any], opts: Sequence[Any] = (), *, where: str) -> CfgNode:
    """`load_config` of what a file held: the nested mapping `tree`, from `where`, for messages."""
    cfg = get_cfg()
    for name, value in flatten(tree):
        _merge(cfg, name, value, where=where)
    for name, value in pair_up(opts):
        _merge(cfg, name, value, where="command line")
    validate(cfg)
    cfg.freeze()
    return cfg


def read_yaml(path: str | os.PathLike[str], inheritors: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The nested mapping of a YAML file laid over its ``_BASE_`` file or files.

    A base is found relative to the file that names it. Nothing in a file is ever executed.
    """
    path = Path(path)
    if path.resolve() in inheritors:
        raise UserError(f"{path} inherits from itself through _BASE_")
    tree = _load_yaml(path)
    merged: dict[str, Any] = {}
    for base in _pop_bases(tree, path):
        _overlay(merged, read_yaml(path.parent / base, (*inheritors, path.resolve())))
    _overlay(merged, tree)
    return merged


def _pop_bases(tree: dict[str, Any], path: Path) -> list[Path]:
    named = tree.pop(BASE_KEY, [])
    bases = [named] if isinstance(named, str) else named
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UserError(f"{path}: {BASE_KEY} is {named!r}, but must name a file or list files")
    return [Path(expand_path(base, f"{path}: {BASE_KEY}")) for base in bases]


class UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if names.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} stands there twice", key.start_mark
                )
        return super().construct_mapping(node, deep)


def _load_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), UniqueKeyLoader)
    except FileNotFoundError as error:
        raise UserError(f"there is no config file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the config file {path} cannot be read: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} holds no 'SECTION: {{KEY: value}}', the form of a config")
    return tree


def _overlay(below: dict[str, Any], above: dict[str, Any]) -> None:
    """Lay `above` over `below`, section by section."""
    for name, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(name), dict):
            _overlay(below[name], value)
        else:
            below[name] = value


def pair_up(opts: Sequence[Any]) -> list[tuple[str, Any]]:
    """``[KEY, VALUE, ...]`` as pairs."""
    if len(opts) % 2:
        raise UserError(
            f"command line: overrides come as KEY VALUE pairs, but '{opts[-1]}' has no partner"
        )
    return [(str(name), value) for name, value in zip(opts[::2], opts[1::2], strict=True)]


def _merge(cfg: CfgNode, name: str, value: Any, where: str) -> None:
    if name in LEGACY:
        drop(name, _parse(value), where)
        return
    if name not in KEYS:
        raise UserError(f"{where}: {name} is not a config key.{_hint(name)}")
    key = KEYS[name]
    value = key.accept(value if isinstance(key.default, str) else _parse(value), where)
    _set(cfg, name, expand_path(value, name) if key.path else value)


def _hint(name: str) -> str:
    inside = [key for key in KEYS if key.startswith(f"{name}.")]
    return f" It is a section; its keys are {', '.join(inside)}." if inside else closest(name, KEYS)


def flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``{"TRAIN": {"ENABLE": True}}`` as pairs of full names and values: ``TRAIN.ENABLE``, True."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
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
    except (yaml.YAMLError, ValueError):
        return value


def _set(cfg: CfgNode, name: str, value: Any) -> None:
    *sections, last = name.split(".")
    for section in sections:
        cfg = cfg.setdefault(section, CfgNode())
    cfg[last] = value


def expand_path(value: str, name: str) -> str:
    """`value` stripped, ``~`` and ``$NAME`` expanded; UserError for a variable that is not set.

    An address is no path: a $ in it is its own.
    """
    if "://" in value:
        return value.strip()
    expanded = os.path.expanduser(os.path.expandvars(value.strip()))
    if expanded.startswith("~"):
        raise UserError(f"{name} is '{value}', but there is no such user")
    if missing := re.search(r"\$\{?\w+\}?", expanded):
        raise UserError(f"{name} is '{value}', but the variable {missing.group()} is not set")
    return expanded


def dump(cfg: CfgNode, path: Path) -> None:
    """Write the resolved config as YAML that `load_config` reads back to the same config."""
    path.write_text(cfg.dump())
