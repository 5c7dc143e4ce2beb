"""The tables of the page are those of the committed results."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.making import reproduction
from tests.docs.pages import ROOT
from timesformer.experiments.definition import read_experiment
from timesformer.experiments.reproduce import DEFINITIONS
from timesformer.experiments.result import read_result
from timesformer.experiments.table import markdown

RESULTS = sorted(reproduction.RESULTS.glob("*.json"))
TEXT = reproduction.PAGE.read_text(encoding="utf-8")


def test_the_page_shows_what_the_results_hold() -> None:
    """After new results: python -m docs.making.reproduction."""
    assert reproduction.filled(TEXT) == TEXT
    assert {path.stem for path in RESULTS} <= set(reproduction.BLOCK.findall(TEXT))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_is_of_the_definition_as_it_is(path: Path) -> None:
    result = read_result(path)
    definition = ROOT / DEFINITIONS / path.with_suffix(".yaml").name
    experiment = read_experiment(definition, runs=path.parent)
    assert {(cell["row"], cell["column"], cell["identity"]) for cell in result["cells"]} == {
        (cell.row, cell.column, cell.identity) for cell in experiment.cells
    }
    assert (result["title"], result["claim"]) == (experiment.title, experiment.claim)
    assert path.with_suffix(".md").read_text(encoding="utf-8") == markdown(result)
    assert path.with_suffix(".png").stat().st_size > 0
    assert [check["says"] for check in result["checks"] if not check["holds"]] == []


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_anybody_can_have_the_commit_of_a_result(path: Path) -> None:
    """A + stands for changes that only the machine had that the numbers are of."""
    result = read_result(path)
    commits = {run["commit"] for cell in result["cells"] for run in cell["runs"]}
    assert not [commit for commit in commits if commit is None or commit.endswith("+")]
