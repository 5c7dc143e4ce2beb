"""The registry: a name is taken once, and an unknown one is answered with the known ones."""

from __future__ import annotations

import pytest

from timesformer.errors import UserError
from timesformer.registry import Registry, closest


@pytest.fixture
def animals() -> Registry[str]:
    registry: Registry[str] = Registry("animal")
    registry.register("zebra")("stripes")
    registry.register("cat", "felis")("whiskers")
    return registry


def test_an_entry_is_found_under_each_of_its_names(animals: Registry[str]) -> None:
    assert animals.get("cat") == animals.get("felis") == "whiskers"
    assert "cat" in animals
    assert "dog" not in animals
    assert animals.names() == ["cat", "felis", "zebra"]


def test_the_decorator_returns_what_it_registers() -> None:
    registry: Registry[type] = Registry("thing")

    @registry.register("thing")
    class Thing:
        pass

    assert registry.get("thing") is Thing
    assert isinstance(Thing(), Thing)


def test_a_name_is_taken_once(animals: Registry[str]) -> None:
    with pytest.raises(KeyError, match="the animal 'cat' is registered already"):
        animals.register("cat")("claws")
    assert animals.get("cat") == "whiskers"


def test_an_unknown_name_is_answered_with_the_closest_and_all_known(
    animals: Registry[str],
) -> None:
    with pytest.raises(
        UserError,
        match=r"'zebr' is not a known animal\. Did you mean 'zebra'\? Known: cat, felis, zebra\.",
    ):
        animals.get("zebr")
    with pytest.raises(UserError, match=r"'quokka' is not a known animal\. Known: cat"):
        animals.get("quokka")


def test_closest_is_silent_when_nothing_is_close() -> None:
    assert closest("BASE_LR", ["BASE_LR_", "STEPS"]) == " Did you mean 'BASE_LR_'?"
    assert closest("xyz", ["STEPS"]) == ""
    assert closest("xyz", []) == ""
