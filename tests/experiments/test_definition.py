"""From the YAML of an experiment to its runs; and the experiments that come with the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine.runs import REPO
from tests.experiments.small import definition, write
from timesformer.errors import UserError
from timesformer.experiments.cost import costs
from timesformer.experiments.definition import read_experiment

SHIPPED = sorted((REPO / "configs" / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_experiments_are_of_networks_that_can_be_built(path: Path) -> None:
    experiment = read_experiment(path, runs=Path("runs"))
    assert {(cell.row, cell.column) for cell in experiment.cells} == {
        (row, column) for row in experiment.rows for column in experiment.columns
    }
    assert experiment.checks
    assert all(costs(cell.resolved)["parameters"] for cell in experiment.cells)
    assert f"python tools/reproduce.py {path.stem}\n" in path.read_text(encoding="utf-8")


def test_equal_configs_are_run_once(tmp_path: Path) -> None:
    tree = definition(tmp_path) | {"seeds": [3, 5]}
    tree["rows"]["by its name"] = {"TIMESFORMER.ATTENTION_TYPE": "divided_space_time"}
    experiment = read_experiment(write(tmp_path / "x.yaml", tree), runs=tmp_path)
    divided, space, named = experiment.cells
    assert [run.folder for run in divided.runs] == [run.folder for run in named.runs]
    assert len({run.folder for run in (*divided.runs, *space.runs)}) == 4
    assert [run.seed for run in experiment.runs] == [3, 5, 3, 5]


def test_what_the_command_line_says_wins_and_is_another_run(tmp_path: Path) -> None:
    path = write(tmp_path / "x.yaml", definition(tmp_path))
    (plain, _), (changed, _) = (
        read_experiment(path, runs=tmp_path, overrides=overrides, seeds=[7]).cells
        for overrides in ([], ["SOLVER.MAX_EPOCH", "3"])
    )
    assert (plain.resolved.SOLVER.MAX_EPOCH, changed.resolved.SOLVER.MAX_EPOCH) == (10, 3)
    assert plain.identity != changed.identity
    assert changed.runs[0].folder == tmp_path / changed.identity / "seed_7"


def test_the_row_wins_over_the_column_and_the_column_over_all(tmp_path: Path) -> None:
    tree = definition(tmp_path)
    tree["columns"] = {"a": {"DATA.NUM_FRAMES": 4, "DATA": {"SAMPLING_RATE": 2}}}
    tree["rows"] = {"b": {"DATA": {"NUM_FRAMES": 2}}}
    tree.pop("checks")
    tree.pop("published")
    (cell,) = read_experiment(write(tmp_path / "x.yaml", tree), runs=tmp_path).cells
    assert (cell.resolved.DATA.NUM_FRAMES, cell.resolved.DATA.SAMPLING_RATE) == (2, 2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"row": {}}, "row is no part of an experiment. "),
        ({"title": 3}, "title is 3, but must be a text"),
        ({"rows": {}}, "rows is missing"),
        ({"rows": {"a": 3}}, "rows: 'a' must be a text and hold a mapping"),
        ({"seeds": [1, 1]}, "must list different whole numbers"),
        ({"seeds": ["one"]}, "must list different whole numbers"),
        ({"seeds": [-1]}, "x.yaml: seeds is .-1., but must list different whole numbers from 0"),
        ({"columns": {"a": {"measure": "speed"}}}, "measure is 'speed', but must be of top1_acc"),
        ({"columns": {"motion": {"DATA.FRAMES": 2}}}, "DATA.FRAMES is not a config key"),
        ({"columns": {"motion": {"RNG_SEED": 2}}}, "RNG_SEED is set by the experiment itself"),
        ({"cfg": "nowhere.yaml"}, "there is no config file"),
        ({"published": {"motion": {"a": 3}}}, "must be a row and its number"),
        ({"plot": [{"kind": "pie"}]}, "kind must be bars or curve"),
        ({"plot": [{"kind": "curve"}]}, "a curve needs an x"),
        ({"plot": [{"colour": "red"}]}, "must be a mapping of kind"),
        ({"plot": [{"rows": 5}]}, "rows a list of rows"),
        ({"plot": [{"kind": "curve", "x": ["gflops"]}]}, "x gflops or a config key"),
        ({"plot": [{"kind": "curve", "x": "DATA.TRAIN_JITTER_SCALES"}]}, "that is a number"),
        ({"plot": [{"kind": "curve", "x": "DATA.SAMPLING", "logarithmic": True}]}, "is a number"),
        ({"plot": [{"kind": "curve", "x": "gflops", "logarithmic": "no"}]}, "True or False"),
        ({"plot": [{"label": 3}]}, "label a text"),
        ({"checks": [{"at_least": 3}]}, "must name a cell"),
        ({"checks": [{"cell": [["a"], "motion"], "at_least": 3}]}, "must name a cell"),
        ({"checks": [{"cell": ["divided", "motion"], "is": 3}]}, "and one of at_least"),
        ({"checks": [{"cell": ["divided", "motion"], "above": 3}]}, "above takes another cell"),
        (
            {"checks": [{"cell": ["divided", "motion"], "near_published": 0.1}]},
            "nothing is published for divided, motion",
        ),
        (
            {
                "published": {"motion": {"divided": 0}},
                "checks": [{"cell": ["divided", "motion"], "near_published": 0.1}],
            },
            "nothing is published for divided, motion, or 0",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_is_answered_by_a_sentence(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    path = write(tmp_path / "x.yaml", definition(tmp_path) | change)
    with pytest.raises(UserError, match=sentence) as raised:
        read_experiment(path, runs=tmp_path)
    assert "x.yaml" in str(raised.value) or "nowhere.yaml" in str(raised.value)


def test_a_bad_seed_of_the_command_line_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "x.yaml", definition(tmp_path))
    with pytest.raises(UserError, match=r"^--seeds is \[-1\], but must list different whole"):
        read_experiment(path, runs=tmp_path, seeds=[-1])
