"""Whose a checkpoint is."""

import pytest

from timesformer.checkpoints.state import (
    IDENTITY,
    INCIDENTAL,
    changed_surroundings,
    check_same_run,
)
from timesformer.config import load_config
from timesformer.config.defaults import KEYS
from timesformer.errors import UserError


def test_identity_and_incidental_keys_exist():
    assert set(IDENTITY) <= set(KEYS)
    for prefix in INCIDENTAL:
        assert any(name.startswith(prefix) for name in KEYS), prefix


def test_whose_checkpoint_it_is(tmp_path):
    checkpoint = {"epoch": 3, "cfg": load_config(None, ["TIMESFORMER.DEPTH", 12]).dump()}
    path = str(tmp_path / "c.pyth")
    # Without a DEPTH the model's name has one, and the weights tell whether it is the same.
    assert check_same_run(checkpoint, path, load_config(None, ["OUTPUT_DIR", "/elsewhere"])) == []
    longer = load_config(None, ["SOLVER.MAX_EPOCH", 20])
    assert check_same_run(checkpoint, path, longer) == ["SOLVER.MAX_EPOCH was 15 and is 20"]
    with pytest.raises(UserError, match="is of another experiment: TIMESFORMER.DEPTH was 12"):
        check_same_run(checkpoint, path, load_config(None, ["TIMESFORMER.DEPTH", 6]))


def test_a_released_checkpoint_without_our_config_is_not_judged():
    check_same_run({"epoch": 3, "cfg": "BN: {}\n"}, "released.pyth", load_config())
    with pytest.raises(UserError, match="cannot be continued: it holds no epoch"):
        check_same_run({}, "bare.pyth", load_config())


def test_a_finished_run_answers_for_itself_alone(tmp_path):
    path = str(tmp_path / "c.pyth")
    checkpoint = {"epoch": 14, "cfg": load_config(None, []).dump()}
    for opts in (["NUM_PROCS", 2, "NUM_GPUS", 0], ["DATA.ENSEMBLE_METHOD", "max"]):
        check_same_run(checkpoint, path, load_config(None, opts))
    check_same_run(checkpoint, path, load_config(None, ["TRAIN.CHECKPOINT_FILE_PATH", path]))
    with pytest.raises(UserError, match="of a finished run: SOLVER.BASE_LR was"):
        check_same_run(checkpoint, path, load_config(None, ["SOLVER.BASE_LR", 1.0]))


def test_surroundings_that_changed():
    then = {"surroundings": {"the number of processes": 2, "the device": "CPU"}}
    now = {"the number of processes": 1, "the device": "CPU", "PyTorch": "2.15"}
    assert changed_surroundings(then, now) == ["the number of processes was 2 and is 1"]
    assert changed_surroundings({}, now) == []
