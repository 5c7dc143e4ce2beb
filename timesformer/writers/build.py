"""From a config to what a run writes to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timesformer.errors import UserError
from timesformer.logs import Silent, telling
from timesformer.writers.interface import Writer
from timesformer.writers.json_lines import JsonLines
from timesformer.writers.reporter import Reporter

if TYPE_CHECKING:
    from fvcore.common.config import CfgNode


def check_writers(cfg: CfgNode) -> None:
    """UserError for a writer that is chosen and not installed, or has nowhere to write to."""
    for section, package, install in (
        ("TENSORBOARD", "tensorboard", "tensorboard"),
        ("WANDB", "wandb", "wandb"),
        ("MLFLOW", "mlflow", "mlflow-skinny"),
    ):
        if cfg[section].ENABLE and find_spec(package) is None:
            raise UserError(
                f"{section}.ENABLE is True, but the package is not installed: pip install {install}"
            )
    if cfg.MLFLOW.ENABLE and not tracking_uri(cfg):
        raise UserError(
            "MLFLOW.ENABLE is True, but neither MLFLOW.TRACKING_URI nor the variable "
            "MLFLOW_TRACKING_URI says where to: http://HOST:5000, or file:FOLDER"
        )


def build_reporter(cfg: CfgNode, settings: Mapping[str, Any], *, is_main: bool) -> Silent:
    """What a process has to show things to.

    Args:
        settings: the flat config, as people will see it.

    Raises:
        UserError: a file of it cannot be written, or a server cannot be reached.
    """
    if not is_main:
        return Silent()
    opened: list[Writer] = []
    with telling(cfg.OUTPUT_DIR):
        try:
            for writer in writers(cfg, settings):
                opened.append(writer)
        except BaseException:  # of one; those before it are open
            Reporter(opened).close()
            raise
    return Reporter(opened)


def writers(cfg: CfgNode, settings: Mapping[str, Any]) -> Iterator[Writer]:
    """Each imported late: only runs that ask for it should need it, and wait for it."""
    folder = Path(cfg.OUTPUT_DIR)
    yield JsonLines(folder / "metrics.jsonl")
    if cfg.TENSORBOARD.ENABLE:
        from timesformer.writers.tensorboard import TensorBoard

        yield TensorBoard(folder / "tensorboard")
    if cfg.WANDB.ENABLE:
        from timesformer.writers.wandb import WeightsAndBiases

        name, project = cfg.WANDB.NAME, cfg.WANDB.PROJECT
        yield WeightsAndBiases(
            folder, project=project, name=name, mode=cfg.WANDB.MODE, config=settings
        )
    if cfg.MLFLOW.ENABLE:
        from timesformer.writers.mlflow import MLflow

        uri, experiment = tracking_uri(cfg), cfg.MLFLOW.EXPERIMENT
        yield MLflow(folder, uri=uri, experiment=experiment, config=settings)


def tracking_uri(cfg: CfgNode) -> str:
    return cfg.MLFLOW.TRACKING_URI or os.environ.get("MLFLOW_TRACKING_URI", "")
