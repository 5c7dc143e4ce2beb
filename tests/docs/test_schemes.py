"""The pictures of the attention schemes are of the blocks as they are, and say what they should."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from docs.making import schemes
from tests.models import dense_reference as reference
from timesformer.models.attention import ATTENTION_SCHEMES, TokenGrid

GRID = TokenGrid(frames=3, height=4, width=5)
QUERY = (1, 2, 3)


def same(group_of: Callable[..., reference.Group]) -> Callable[..., bool]:
    return lambda a, b: group_of(a, GRID) == group_of(b, GRID)


# What is seen in each step, and whether the class token is: written down a second time.
EXPECTED = {
    "space_only": [(reference.same_frame, True)],
    "joint_space_time": [(reference.anywhere, True)],
    "divided_space_time": [(reference.same_patch, False), (reference.same_frame, True)],
    "sparse_local_global": [(same(reference.quarter_of), True), (same(reference.lattice_of), True)],
    "axial": [
        (reference.same_patch, False),
        (same(reference.row_of), True),
        (same(reference.column_of), True),
    ],
}


def test_every_scheme_has_a_picture() -> None:
    assert set(schemes.STEPS) == set(EXPECTED) == set(ATTENTION_SCHEMES.names())
    for scheme, words in schemes.STEPS.items():
        assert len(words) == len(schemes.attentions(scheme))


@pytest.mark.parametrize("scheme", EXPECTED)
def test_a_patch_sees_what_the_masks_of_the_reference_say(scheme: str) -> None:
    frame, row, column = QUERY
    query = (row * GRID.width + column, frame)
    for seen, (sees, class_token) in zip(
        schemes.seen_by_step(scheme, GRID, QUERY), EXPECTED[scheme], strict=True
    ):
        tokens = {
            (int(y) * GRID.width + int(x), int(t)) for t, y, x in seen.patches.nonzero().tolist()
        }
        assert tokens == {other for other in reference.patch_tokens(GRID) if sees(query, other)}
        assert seen.class_token == class_token


def test_the_pictures_and_the_table_are_what_is_computed_now() -> None:
    """After a change: python -m docs.making.schemes."""
    drawn = schemes.files()
    assert {path: path.read_text(encoding="utf-8") for path in drawn} == drawn
    page = schemes.FIGURES.with_name("concepts.md").read_text(encoding="utf-8")
    assert schemes.counts() in page
