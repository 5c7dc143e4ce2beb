"""What is found before the first run starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.engine.runs import REPO
from tests.experiments.small import definition, write
from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.errors import UserError
from timesformer.experiments.before import check_before, said_of_earlier
from timesformer.experiments.definition import read_experiment
from timesformer.experiments.facts import note_weights, read_facts, write_facts
from timesformer.experiments.plan import Experiment
from timesformer.experiments.reproduce import reproduce, state


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "shapes"
    ensure_motion_shapes(folder, num_train=2, num_val=1, num_test=1)
    return folder


def experiment_of(folder: Path, shapes: Path, row: dict[str, Any]) -> Experiment:
    """The last of whose rows is `row`."""
    tree = definition(shapes)
    tree["rows"]["last"] = row
    return read_experiment(write(folder / "x.yaml", tree), runs=folder / "runs")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"TIMESFORMER.PRETRAINED_MODEL": "nowhere.pth"}, "the run .*PRETRAINED_MODEL: .*nowhere"),
        ({"SOLVER.FROZEN_LAYERS": 99}, "row 'last', column 'motion': SOLVER.FROZEN_LAYERS is 99"),
        ({"DATA.PATH_TO_DATA_DIR": "nowhere"}, "the run .*nowhere"),
    ],
    ids=str,
)
def test_what_the_last_run_lacks_is_said_before_the_first(
    tmp_path: Path, shapes: Path, row: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        check_before(experiment_of(tmp_path, shapes, row), tmp_path)


def test_a_test_list_that_is_missing_is_said_before_the_first_run(
    tmp_path: Path, shapes: Path
) -> None:
    shutil.copytree(shapes, tmp_path / "half")
    (tmp_path / "half" / "test.csv").unlink()
    row = {"DATA.PATH_TO_DATA_DIR": str(tmp_path / "half")}
    with pytest.raises(UserError, match="the run .*/seed_0: .*half' does not hold test.csv"):
        check_before(experiment_of(tmp_path, shapes, row), tmp_path)


def test_a_result_that_could_not_be_written_is_said_before_the_first_run(
    tmp_path: Path, shapes: Path
) -> None:
    (tmp_path / "taken").write_text("")
    experiment = experiment_of(tmp_path, shapes, {})
    with pytest.raises(UserError, match="taken.* cannot be written .*: name another --out"):
        check_before(experiment, tmp_path / "taken")
    assert not (tmp_path / "runs").exists()


def test_what_was_done_before_is_said_with_its_commit(tmp_path: Path, shapes: Path) -> None:
    experiment = experiment_of(tmp_path, shapes, {"DATA.NUM_FRAMES": 4})
    assert said_of_earlier(experiment.runs, experiment.runs) == ""
    for run, commit in zip(experiment.runs[:2], ("0123", None), strict=True):
        run.folder.mkdir(parents=True)
        write_facts(run.folder, {"top1_acc": 50.0, "commit": commit})
    missing = check_before(experiment, tmp_path)
    assert missing == experiment.runs[2:]
    assert said_of_earlier(experiment.runs, missing) == (
        "2 of 3 runs were done before, by commit 0123, unknown; to repeat them name another --runs."
    )


def test_a_run_whose_weights_were_replaced_is_not_done(tmp_path: Path, shapes: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"first")
    experiment = experiment_of(tmp_path, shapes, {"TIMESFORMER.PRETRAINED_MODEL": str(weights)})
    for run in experiment.runs:
        run.folder.mkdir(parents=True)
        write_facts(run.folder, {"top1_acc": 50.0})
        note_weights(run)
    plain, *_, last = experiment.runs
    assert "weights" not in read_facts(plain.folder)
    assert check_before(experiment, tmp_path) == []
    os.utime(weights, ns=(0, 0))  # the same, as a copy of it would be
    assert (state(plain), state(last)) == ("done", "done")
    weights.write_bytes(b"other")
    assert (state(plain), state(last)) == ("done", "stale")
    with pytest.raises(UserError, match="started from other weights than .*weights.pth holds now"):
        check_before(experiment, tmp_path)


@pytest.mark.parametrize("jobs", [0, -1])
def test_no_jobs_at_a_time_are_none(tmp_path: Path, shapes: Path, jobs: int) -> None:
    path = write(tmp_path / "x.yaml", definition(shapes))
    with pytest.raises(UserError, match=f"--jobs is {jobs}, but must be 1 or more"):
        reproduce(str(path), root=REPO, out=tmp_path, runs=tmp_path / "runs", jobs=jobs)
