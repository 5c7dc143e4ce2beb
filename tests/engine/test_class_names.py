"""Classes have names: in the log, in checkpoints, in results, and when weights meet other data."""

import shutil

import numpy as np
import pytest

from tests.engine.runs import train
from timesformer.checkpoints import files
from timesformer.errors import UserError
from timesformer.export.convert import convert
from timesformer.weights.load import read_weights

NAMES = ("up", "down", "left", "right")


@pytest.fixture(scope="module")
def trained(videos, tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    train(videos, output, SOLVER__MAX_EPOCH=1, TRAIN__EVAL_PERIOD=0)
    return output


def renamed(videos, folder, names):
    """The data set with other class names."""
    shutil.copytree(videos, folder)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in names))
    return folder


def test_names_stand_beside_what_they_name(trained):
    log = (trained / "stdout.log").read_text()
    assert "21 training videos of 4 classes (up, down, left, right)" in log
    assert "hardest classes: " in log
    assert tuple(np.load(trained / "predictions.npz")["class_names"]) == NAMES
    lines = (trained / "class_accuracy.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["0", "up", "3"],
        ["1", "down", "3"],
        ["2", "left", "2"],
        ["3", "right", "2"],
    ]


def test_a_checkpoint_and_its_conversions_know_them(trained, tmp_path):
    path = files.epoch_path(str(trained), 1)
    assert read_weights(path).class_names == NAMES
    for target, out in [("safetensors", "a.safetensors"), ("transformers", "folder")]:
        convert(path, tmp_path / out, target)
        assert read_weights(tmp_path / out).class_names == NAMES


def test_another_order_of_classes_is_refused_in_a_test(videos, trained, tmp_path):
    data = renamed(videos, tmp_path / "data", ["up", "left", "down", "right"])
    weights = files.epoch_path(str(trained), 1)
    with pytest.raises(UserError, match="another order: its class 1 is 'down', and .* is 'left'"):
        train(data, tmp_path, TRAIN__ENABLE=False, TEST__CHECKPOINT_FILE_PATH=weights)


def test_other_names_are_said_in_a_test(videos, trained, tmp_path, caplog):
    data = renamed(videos, tmp_path / "data", ["oben", "unten", "links", "rechts"])
    weights = files.epoch_path(str(trained), 1)
    train(data, tmp_path, TRAIN__ENABLE=False, TEST__CHECKPOINT_FILE_PATH=weights)
    log = (tmp_path / "stdout.log").read_text()
    assert "its class 0 is 'up', and that of the data is 'oben'; is this the right data" in log


def test_a_run_does_not_go_on_with_other_classes(videos, trained, tmp_path):
    output = shutil.copytree(trained, tmp_path / "run")
    data = renamed(videos, tmp_path / "data", ["up", "left", "down", "right"])
    with pytest.raises(UserError, match="cannot be continued: its class 1 is 'down'"):
        train(data, output, SOLVER__MAX_EPOCH=2)
