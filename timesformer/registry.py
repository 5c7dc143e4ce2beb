"""One strict registry for models, data sets and everything else that a config chooses by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from timesformer.errors import UserError

T = TypeVar("T")


def closest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the known name most like `name`, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{matches[0]}'?" if matches else ""


class Registry(Generic[T]):
    """Names to objects. A name is taken once; an unknown name is answered with the known ones."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, *names: str) -> Callable[[T], T]:
        """Decorator that files the object under every name in `names`."""

        def add(entry: T) -> T:
            for name in names:
                if name in self._entries:
                    raise KeyError(f"the {self.kind} '{name}' is registered already")
                self._entries[name] = entry
            return entry

        return add

    def get(self, name: str) -> T:
        """The entry called `name`; UserError with the known names otherwise."""
        if name not in self._entries:
            raise UserError(
                f"'{name}' is not a known {self.kind}.{closest(name, self._entries)} "
                f"Known: {', '.join(self.names())}."
            )
        return self._entries[name]

    def names(self) -> list[str]:
        return sorted(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries
