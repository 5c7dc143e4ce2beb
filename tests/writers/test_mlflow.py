"""MLflow's own client reads what was written; a folder stands for the server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from timesformer.errors import UserError
from timesformer.logs import start_logging, stop_logging
from timesformer.writers import mlflow
from timesformer.writers.reporter import Reporter

pytest.importorskip("mlflow")


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """The writer gives MLflow its patience by variables."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def reporter_of(folder: Path, **config: object) -> Reporter:
    folder.mkdir(exist_ok=True)
    uri = f"file:{folder.parent / 'server'}"
    return Reporter([mlflow.MLflow(folder, uri=uri, experiment="mine", config=config)])


def test_a_run_is_there_and_goes_on(tmp_path: Path) -> None:
    first = reporter_of(tmp_path / "run", **{"SOLVER.BASE_LR": 0.1, "SOLVER.MAX_EPOCH": 2})
    first.text("config", "words")
    for step in range(3):
        first.numbers("train_iter", step, {"loss": 1.0 / (1 + step), "epoch": "1/2"})
    first.close()
    second = reporter_of(tmp_path / "run", **{"SOLVER.BASE_LR": 0.1, "SOLVER.MAX_EPOCH": 4, "A": 1})
    second.numbers("train_iter", 3, {"loss": 0.25})
    second.clip("val_clips/00", 1, np.zeros((2, 16, 16, 3), np.uint8), 8.0, "up, predicted up")
    second.confusion_matrix("val_confusion", 1, np.eye(2), ["up", "down"])
    second.close(failed=True)

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"file:{tmp_path / 'server'}")
    experiment = client.get_experiment_by_name("mine")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert run.info.run_name == "run"
    assert run.data.params == {"SOLVER.BASE_LR": "0.1", "SOLVER.MAX_EPOCH": "2", "A": "1"}
    history = client.get_metric_history(run.info.run_id, "train_iter/loss")
    found = sorted((metric.step, metric.value) for metric in history)
    assert found == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3)), (3, 0.25)]
    paths = [file.path for file in client.list_artifacts(run.info.run_id)]
    assert sorted(paths) == ["config.md", "val_clips", "val_confusion"]


def test_nobody_answers_at_the_start(tmp_path: Path) -> None:
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    with pytest.raises(UserError, match="MLFLOW.TRACKING_URI http://127.0.0.1:1 cannot be used"):
        mlflow.MLflow(tmp_path, uri="http://127.0.0.1:1", experiment="mine", config={})


def test_a_server_that_is_gone_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = reporter_of(tmp_path / "run")
    (tmp_path / "server").rename(tmp_path / "gone")
    start_logging(rank=0)
    try:
        for step in range(5):
            reporter.numbers("train_iter", step, {"loss": 1.0})
        reporter.close()
    finally:
        stop_logging()
    assert capsys.readouterr().out.count("cannot be filed (MLflow: ") == 1
