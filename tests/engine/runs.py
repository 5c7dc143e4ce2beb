"""Short real runs for the tests: small videos, a tiny network, everything else as users have it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import simplejson
import torch

from timesformer.config import load_config
from timesformer.engine.run import start

REPO = Path(__file__).parents[2]
TINY_CONFIG = REPO / "configs" / "MotionShapes" / "TimeSformer_divST_tiny.yaml"


# The tiny config without what a model that is no TimeSformer has no use for.
NO_TIMESFORMER = {
    "TIMESFORMER__EMBED_DIM": 0,
    "TIMESFORMER__DEPTH": 0,
    "TIMESFORMER__NUM_HEADS": 0,
    "TIMESFORMER__PATCH_SIZE": 16,
    "TIMESFORMER__DROP_PATH_RATE": 0.1,
    "TIMESFORMER__INIT_STD": 0.02,
    "TIMESFORMER__POS_EMBED_STD": 0.02,
    "TIMESFORMER__TIME_EMBED_STD": 0.0,
    "TIMESFORMER__TEMPORAL_FC_ZERO_INIT": True,
}


def options(data: Path, output: Path, **changes: Any) -> list[str]:
    """KEY VALUE pairs of a two-epoch run; a keyword SOLVER__BASE_LR stands for SOLVER.BASE_LR."""
    opts = {
        "TRAIN.DATASET": "kinetics",
        "TEST.DATASET": "kinetics",
        "DATA.PATH_TO_DATA_DIR": data,
        "OUTPUT_DIR": output,
        "TRAIN.BATCH_SIZE": 8,
        "GLOBAL_BATCH_SIZE": 8,
        "TRAIN.EVAL_PERIOD": 1,
        "TRAIN.CHECKPOINT_PERIOD": 1,
        "SOLVER.MAX_EPOCH": 2,
        "SOLVER.WARMUP_EPOCHS": 0,
        "TIMESFORMER.EMBED_DIM": 16,
        "DATA_LOADER.NUM_WORKERS": 0,
        "TENSORBOARD.ENABLE": False,
        "TEST.REPORT": False,  # 5 MB each
        "LOG_PERIOD": 1,
    }
    opts |= {name.replace("__", "."): value for name, value in changes.items()}
    return [str(item) for pair in opts.items() for item in pair]


def command(opts: list[str]) -> list[str]:
    return [sys.executable, str(REPO / "tools" / "run_net.py"), "--cfg", str(TINY_CONFIG), *opts]


def train(data: Path, output: Path, **changes: Any) -> Path:
    """The run, in this process and those that it starts. Returns its folder."""
    start(load_config(TINY_CONFIG, options(data, output, **changes)))
    return output


def said(output: Path) -> str:
    """What the runs in a folder have said."""
    return (output / "stdout.log").read_text()


def environment() -> dict[str, str]:
    """Ours without what would make a child think it is part of a torchrun job."""
    outside = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return outside | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPO)}


def run_process(
    args: list[str], timeout: float = 240, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a command says and how it ends, with further environment variables."""
    return subprocess.run(
        args,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment() | dict(variables or {}),
        check=False,
    )


def metrics(output: Path, kind: str) -> list[dict[str, Any]]:
    """The records of `kind` in metrics.jsonl, in order, without what says where it was done."""
    lines = (output / "metrics.jsonl").read_text().splitlines()
    records = [record for line in lines if (record := simplejson.loads(line))["_type"] == kind]
    where = ("checkpoint", "command")
    return [{name: record[name] for name in record if name not in where} for record in records]


def losses(output: Path) -> list[float]:
    return [record["loss"] for record in metrics(output, "train_iter")]


def final_weights(output: Path, epochs: int = 2) -> dict[str, torch.Tensor]:
    path = output / "checkpoints" / f"checkpoint_epoch_{epochs:05d}.pyth"
    return torch.load(path, weights_only=True)["model_state"]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
