"""Which places a config chooses, and what is said of one that cannot be had."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.engine.runs import TINY_CONFIG, options
from timesformer.config import load_config
from timesformer.errors import UserError
from timesformer.writers import build


def config(output: Path, **changes: object):
    return load_config(TINY_CONFIG, options(output, output, **changes))


@pytest.mark.parametrize(
    ("section", "package", "command"),
    [
        ("TENSORBOARD", "tensorboard", "pip install tensorboard"),
        ("WANDB", "wandb", "pip install wandb"),
        ("MLFLOW", "mlflow", "pip install mlflow-skinny"),
    ],
)
def test_what_is_not_installed_is_said_before_the_run(
    section: str, package: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(build, "find_spec", lambda name: None if name == package else real(name))
    build.check_writers(config(tmp_path))
    with pytest.raises(UserError, match=f"{section}.ENABLE is True, but .*: {command}$"):
        build.check_writers(config(tmp_path, **{f"{section}__ENABLE": True}))


def test_mlflow_needs_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    cfg = config(tmp_path, MLFLOW__ENABLE=True)
    with pytest.raises(UserError, match="neither MLFLOW.TRACKING_URI nor the variable"):
        build.check_writers(cfg)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    build.check_writers(cfg)
    assert build.tracking_uri(cfg) == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"TENSORBOARD__HISTOGRAMS": 1}, "TENSORBOARD.HISTOGRAMS 1 has nothing to be shown in"),
        ({"TENSORBOARD__NUM_CLIPS": 4}, "TENSORBOARD.NUM_CLIPS 4 has nothing to be shown in"),
        (
            {"TENSORBOARD__CONFUSION_MATRIX__ENABLE": True},
            "TENSORBOARD.CONFUSION_MATRIX.ENABLE True has nothing to be shown in",
        ),
        (
            {"TENSORBOARD__HISTOGRAMS": 1, "WANDB__ENABLE": True, "TRAIN__PARALLEL": "fsdp"},
            "TENSORBOARD.HISTOGRAMS 1 is of whole weights",
        ),
    ],
)
def test_what_could_not_be_shown_is_refused(
    changes: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        config(tmp_path, **changes)
