"""How far numbers must be apart to differ, and what is said of checks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.engine.runs import REPO
from tests.experiments.small import definition, write
from timesformer.errors import UserError
from timesformer.experiments.checks import verdicts
from timesformer.experiments.definition import read_experiment
from timesformer.experiments.numbers import deviation, interval, noise, standard_error
from timesformer.experiments.result import against, result_of
from timesformer.experiments.table import sentence


def test_the_error_of_one_seed_is_that_of_the_test_videos() -> None:
    assert standard_error([50.0], 98) == pytest.approx(100 * math.sqrt(0.25 / 98))
    assert standard_error([100.0], 10) > 5, "ten of ten are no certainty"


def test_more_seeds_make_their_part_of_the_error_smaller() -> None:
    values = [49.0, 50.0, 51.0]
    assert deviation(values) == 1
    of_videos = standard_error([50.0], 98)
    assert standard_error(values, 98) == pytest.approx(math.hypot(1 / math.sqrt(3), of_videos))


def test_what_is_calculated_has_no_noise() -> None:
    assert noise({"standard_error": standard_error([3.0], None)}) == 0


def test_the_interval_is_of_the_videos_whatever_the_seeds_say() -> None:
    """81 of 263 is the example of Newcombe, Statistics in Medicine 17 (1998), table I: Wilson's."""
    assert interval([100 * 81 / 263], 263) == pytest.approx((25.53, 36.62), abs=0.005)
    assert interval([40.0, 60.0], 100) == interval([50.0], 100)
    assert interval([3.0], None) is None


def cell(
    row: str, mean: float, error: float = 1.0, identity: str = "a", seeds: int = 2
) -> dict[str, Any]:
    place = {"row": row, "column": "motion", "identity": identity}
    runs = [{"seed": seed} for seed in range(seeds)]
    return place | {"mean": mean, "standard_error": error, "runs": runs, "values": [mean] * seeds}


@pytest.mark.parametrize(
    ("check", "holds", "says"),
    [
        ({"at_least": 50}, True, "divided (motion): 50.00, to be at least 50.00"),
        ({"at_least": 51}, False, "at least 51.00"),
        ({"at_most": 49}, False, "at most 49.00"),
        ({"above": ["space only", "motion"]}, False, "48.00 (chance: 2.83, unpaired)"),
        ({"above": ["space only", "motion"], "by": 20}, False, "by 20.00 or more"),
        ({"not_below": ["space only", "motion"]}, True, "not below space only (motion)"),
        ({"near_published": 0.01}, True, "within 1 % of the published 50.20"),
    ],
    ids=str,
)
def test_verdicts(tmp_path: Path, check: dict[str, Any], holds: bool, says: str) -> None:
    tree = definition(tmp_path) | {"published": {"motion": {"divided": 50.2}}}
    tree["checks"] = [{"cell": ["divided", "motion"], **check}]
    experiment = read_experiment(write(tmp_path / "x.yaml", tree), runs=tmp_path)
    cells = {
        (name, "motion"): cell(name, mean)
        for name, mean in [("divided", 50.0), ("space only", 48.0)]
    }
    (verdict,) = verdicts(experiment, cells)
    assert verdict["holds"] is holds
    assert says in verdict["says"]
    (missing,) = verdicts(experiment, {})
    assert missing == {"holds": False, "says": "divided (motion) has no result"}


def test_against_what_was_committed() -> None:
    now = {"cells": [cell("a", 50.0), cell("b", 50.0), cell("c", 50.0, identity="other")]}
    committed = {"cells": [cell("a", 52.0), cell("b", 53.0), cell("c", 1.0)]}
    lines = against(now, committed)
    assert [line["holds"] for line in lines] == [True, False]  # the third is of another config
    assert lines[1]["says"] == "b (motion): 50.00 now, 53.00 committed (chance: 2.83)"


def test_of_a_single_seed_nothing_is_judged_against_what_was_committed() -> None:
    now = {"cells": [cell("a", 50.0, seeds=1), cell("b", 50.0), cell("c", 50.0, 0, seeds=0)]}
    committed = {"cells": [cell("a", 90.0), cell("b", 90.0, seeds=1), cell("c", 50.1, 0, seeds=0)]}
    lines = against(now, committed)
    assert [line["holds"] for line in lines] == [None, None, False]  # the third is calculated
    assert sentence(lines[0]) == (
        "not judged: a (motion): 50.00 now, 90.00 committed, of a single seed here or there"
    )


def test_what_is_equal_is_not_above(tmp_path: Path) -> None:
    tree = definition(tmp_path)
    tree["checks"] = [{"cell": ["divided", "motion"], "above": ["space only", "motion"]}]
    experiment = read_experiment(write(tmp_path / "x.yaml", tree), runs=tmp_path)
    cells = {(name, "motion"): cell(name, 3.0, 0.0) for name in tree["rows"]}
    assert [each["holds"] for each in verdicts(experiment, cells)] == [False]


def test_flops_of_what_is_no_timesformer_are_not_made_up(tmp_path: Path) -> None:
    tree = {
        "title": "A baseline",
        "claim": "It has a cost.",
        "cfg": str(REPO / "configs" / "UCF101" / "ResNet18_average.yaml"),
        "columns": {"cost": {"measure": "gflops"}},
        "rows": {"ResNet": {}},
    }
    experiment = read_experiment(write(tmp_path / "x.yaml", tree), runs=tmp_path)
    with pytest.raises(UserError, match="gflops is not known of .*, which is no TimeSformer"):
        result_of(experiment)
