"""A small experiment, whose runs take seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.engine.runs import REPO, TINY_CONFIG

TOOL = REPO / "tools" / "reproduce.py"


def definition(shapes: Path) -> dict[str, Any]:
    """Two rows, one seed, thirty steps each; of the videos in the folder `shapes`."""
    return {
        "title": "A small experiment",
        "claim": "It runs.",
        "cfg": str(TINY_CONFIG),
        "changes": {
            "TRAIN": {"DATASET": "kinetics", "BATCH_SIZE": 8, "EVAL_PERIOD": 0},
            "TEST": {"DATASET": "kinetics", "REPORT": False, "NUM_ENSEMBLE_VIEWS": 1},
            "SOLVER": {"MAX_EPOCH": 10, "WARMUP_EPOCHS": 0},
            "DATA.PATH_TO_DATA_DIR": str(shapes),
            "GLOBAL_BATCH_SIZE": 8,
            "TIMESFORMER.EMBED_DIM": 16,
            "DATA_LOADER.NUM_WORKERS": 0,
            "TENSORBOARD.ENABLE": False,
            "LOG_PERIOD": 1,
        },
        "columns": {"motion": {}},
        "rows": {
            "divided": {},
            "space only": {"TIMESFORMER": {"ATTENTION_TYPE": "space_only"}},
        },
        "published": {"published: SSv2": {"divided": 59.5, "space only": 36.6}},
        "source": "a paper",
        "plot": [{}, {"kind": "curve", "x": "gflops"}],
        "checks": [{"cell": ["divided", "motion"], "at_least": 0}],
    }


def write(path: Path, tree: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path
