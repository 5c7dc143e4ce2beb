"""What a config key is: a name, a default, a meaning, and the values it may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from timesformer.errors import UserError


@dataclass(frozen=True)
class Allowed:
    """A predicate on values and the words for it (they complete "must be ...")."""

    words: str
    holds: Callable[[Any], bool]


ANYTHING = Allowed("anything", lambda value: True)


def one_of(*choices: str) -> Allowed:
    return Allowed("one of " + ", ".join(choices), lambda value: value in choices)


def at_least(low: float) -> Allowed:
    return Allowed(f"at least {low}", lambda value: value >= low)


def above(low: float) -> Allowed:
    return Allowed(f"above {low}", lambda value: value > low)


def within(low: float, high: float) -> Allowed:
    return Allowed(f"from {low} to {high}", lambda value: low <= value <= high)


def below_one() -> Allowed:
    return Allowed("at least 0 and below 1", lambda value: 0 <= value < 1)


def each(allowed: Allowed, length: int | None = None) -> Allowed:
    """Every item of a list is `allowed`; `length` items where it is given."""
    count = "" if length is None else f"{length} "
    return Allowed(
        f"a list of {count}numbers, each {allowed.words}",
        lambda value: length in (None, len(value)) and all(allowed.holds(v) for v in value),
    )


@dataclass(frozen=True)
class Key:
    """One config key. `item` is the type of a list's items; a `path` has ~ and $NAME expanded."""

    name: str
    default: Any
    meaning: str
    allowed: Allowed = ANYTHING
    item: type | None = None
    path: bool = False

    @property
    def type_words(self) -> str:
        if self.item is not None:
            return f"list of {self.item.__name__}"
        return type(self.default).__name__

    def accept(self, value: Any, where: str) -> Any:
        """`value` as this key's type; UserError (it came from `where`) if it is not allowed."""
        typed = self._typed(value)
        if typed is None or not self.allowed.holds(typed):
            allowed = "" if self.allowed is ANYTHING else f", {self.allowed.words}"
            raise UserError(
                f"{where}: {self.name} is {value!r}, but must be {self.type_words}{allowed} "
                f"({self.meaning})"
            )
        return typed

    def _typed(self, value: Any) -> Any | None:
        if self.item is None:
            return convert(value, type(self.default))
        if isinstance(value, str) or not isinstance(value, Sequence):
            return None
        items = [convert(v, self.item) for v in value]
        return None if None in items else items


def convert(value: Any, kind: type) -> Any | None:
    """`value` as `kind` where nothing is lost (an int as a float, no bool as an int), or None."""
    if isinstance(value, bool):
        return value if kind is bool else None
    if kind is float and isinstance(value, (int, float)):
        return float(value) if abs(value) < float("inf") else None  # nor for nan
    return value if isinstance(value, kind) else None
