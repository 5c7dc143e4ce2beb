"""No key that lies: whatever can be set is read somewhere."""

import ast
from pathlib import Path

from timesformer.config.defaults import KEYS

PACKAGE = Path(__file__).parents[2] / "timesformer"


def chain(node: ast.AST) -> str:
    """``cfg.DATA.MEAN`` as "DATA.MEAN"; the part before the first upper-case name is dropped."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    while names and not names[0].isupper():
        names.pop(0)
    return ".".join(names)


def keys_read() -> set[str]:
    """Every dotted upper-case attribute chain in the package."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                found.add(chain(node))
    return found


def test_every_key_is_read_outside_its_definition():
    assert sorted(set(KEYS) - keys_read()) == []


def test_every_key_says_what_it_means():
    for key in KEYS.values():
        assert len(key.meaning) > 5, key.name
        assert not key.meaning.endswith("."), key.name
