"""A model that was trained for a moment, on real videos, as users train one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.engine.runs import TINY_CONFIG, options
from timesformer.config import load_config
from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.engine.run import start


def train(folder: Path, **changes: Any) -> Path:
    """The OUTPUT_DIR of a run on the videos of `folder`/shapes, tested on ten of them."""
    ensure_motion_shapes(folder / "shapes", num_train=21, num_val=6, num_test=10)
    output = folder / "run"
    small = {"SOLVER__MAX_EPOCH": 1, "TRAIN__EVAL_PERIOD": 0, **changes}
    start(load_config(TINY_CONFIG, options(folder / "shapes", output, **small)))
    return output
