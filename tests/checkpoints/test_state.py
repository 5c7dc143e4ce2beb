"""Checkpoint files, and whose they are."""

import logging

import pytest
import torch

from timesformer.checkpoints import files
from timesformer.checkpoints.state import IDENTITY, INCIDENTAL, check_same_run
from timesformer.config import load_config
from timesformer.config.defaults import KEYS
from timesformer.errors import UserError


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_reading_executes_nothing(tmp_path):
    torch.save({"epoch": 1, "model_state": Bomb(tmp_path / "mark")}, tmp_path / "bomb.pyth")
    with pytest.raises(UserError, match="bomb.pyth.* was refused: to load it, Python would have"):
        files.read(tmp_path / "bomb.pyth")
    assert not (tmp_path / "mark").exists()


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match="no checkpoint file"):
        files.read(tmp_path / "none.pyth")
    torch.save([1, 2], tmp_path / "list.pyth")
    with pytest.raises(UserError, match="list.pyth is not a checkpoint: it holds no model_state"):
        files.read(tmp_path / "list.pyth")


def test_the_newest_good_one(tmp_path, caplog):
    assert files.newest_good(str(tmp_path)) is None
    for epoch in (1, 2, 10):
        files.write({"epoch": epoch - 1, "model_state": {}}, files.epoch_path(str(tmp_path), epoch))
    newest = files.epoch_path(str(tmp_path), 10)
    newest.write_bytes(newest.read_bytes()[:-40])
    assert files.newest_good(str(tmp_path)) == files.epoch_path(str(tmp_path), 2)
    assert f"skipping a broken checkpoint: '{newest}'" in caplog.text


def test_identity_and_incidental_keys_exist():
    assert set(IDENTITY) <= set(KEYS)
    for prefix in INCIDENTAL:
        assert any(name.startswith(prefix) for name in KEYS), prefix


def test_whose_checkpoint_it_is(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    checkpoint = {"epoch": 3, "cfg": load_config(None, ["TIMESFORMER.DEPTH", 12]).dump()}
    path = str(tmp_path / "c.pyth")
    # Without a DEPTH the model's name has one, and the weights tell whether it is the same.
    check_same_run(checkpoint, path, load_config(None, ["OUTPUT_DIR", "/elsewhere"]))
    assert caplog.text == ""
    check_same_run(checkpoint, path, load_config(None, ["SOLVER.MAX_EPOCH", 20]))
    assert "resuming, but SOLVER.MAX_EPOCH was 15 and is 20" in caplog.text
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
