"""The config of a run as its files tell it, of any version: for reading, not for running."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One key: its value, and what `config.defaults` says of it."""

    name: str
    value: Any
    default: Any
    meaning: str

    @property
    def is_changed(self) -> bool:
        return bool(self.value != self.default)


@dataclass(frozen=True)
class Settings:
    """The keys of `file` by their full names; none where there is no such file."""

    file: Path | None
    values: Mapping[str, Any]

    def get(self, name: str) -> Any:
        """The value of a key; its default where the file, of an older version, lacks it."""
        from timesformer.config.defaults import KEYS

        return self.values.get(name, KEYS[name].default)

    def __iter__(self) -> Iterator[Setting]:
        from timesformer.config.defaults import KEYS

        for name, value in sorted(self.values.items()):
            if name in KEYS:
                yield Setting(name, value, KEYS[name].default, KEYS[name].meaning)
            else:
                yield Setting(name, value, None, "not a key of this version")


def read_settings(folder: Path) -> Settings:
    """Of the last run in `folder` that wrote a config: one that trained, or one that only tested.

    Raises:
        UserError: the file is no config.
    """
    from timesformer.config.load import flatten, read_yaml

    names = ("config.yaml", "config_test.yaml")
    files = [folder / name for name in names if (folder / name).is_file()]
    if not files:
        return Settings(None, {})
    newest = max(files, key=lambda file: file.stat().st_mtime_ns)
    return Settings(newest, dict(flatten(read_yaml(newest))))
