"""Within a step nothing waits for the device: no value is read, and nothing is copied to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.engine.runs import NO_TIMESFORMER, TINY_CONFIG, options
from timesformer.config import load_config
from timesformer.distributed.process import Process
from timesformer.engine.build import build_training
from timesformer.engine.step import Training, train_step
from timesformer.engine.train import count
from timesformer.logs import Silent
from timesformer.signals import StopSignals

# What makes the host wait where its tensor is a GPU's: a value that is read (`.item()`, `if`,
# `bool`), a shape that depends on values (a mask as an index, `unique`), a tensor that is made of a
# list and then taken to the device.
WAITING = {
    "_local_scalar_dense",
    "item",
    "is_nonzero",
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
    "lift_fresh",
}

EVERYTHING = {
    "TRAIN__EMA_DECAY": 0.9,
    "SOLVER__CLIP_GRAD_L2NORM": 1.0,
    "MIXUP__ENABLED": True,
    "MODEL__LABEL_SMOOTHING": 0.1,
    "AUG__NUM_SAMPLE": 2,
    "AUG__RE_PROB": 0.5,
    "TIMESFORMER__DROP_PATH_RATE": 0.2,
    "TIMESFORMER__DROP_RATE": 0.1,
    "TRAIN__BATCH_SIZE": 4,  # two passes a step
    "DATA_LOADER__NUM_WORKERS": 1,  # elsewhere, because making batches is not what is watched
}


class Watcher(TorchDispatchMode):
    """Counts the operations that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = function.overloadpacket.__name__
        # An index that is a mask, not one of numbers.
        masks = name.startswith("index") and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for argument in args[1:2]
            for index in (argument if isinstance(argument, (list, tuple)) else [argument])
        )
        if name in WAITING or masks:
            self.seen[name] += 1
        return function(*args, **(kwargs or {}))


@contextmanager
def training_of(videos: Path, output: Path, **changes: object) -> Iterator[Training]:
    cfg = load_config(TINY_CONFIG, options(videos, output, **changes))
    with StopSignals() as stop:
        training = build_training(cfg, Process(), Silent(), stop)
        training.feed.start()
        training.model.train()
        yield training


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"TRAIN__PRECISION": "bf16"},
        {"SOLVER__OPTIMIZING_METHOD": "sgd"},
        {"TIMESFORMER__GRAD_CHECKPOINTING": True},
        pytest.param(
            {"MODEL__MODEL_NAME": "resnet18_lstm", **NO_TIMESFORMER}, marks=pytest.mark.slow
        ),
    ],
    ids=lambda changes: next(iter(changes), "plain"),
)
def test_no_step_reads_a_value(videos: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    with training_of(videos, tmp_path, **(EVERYTHING | changes)) as training:
        with Watcher() as watcher:
            for size in training.sampler.step_sizes():
                train_step(training, size)
        assert watcher.seen == Counter()
        with Watcher() as watcher:
            count(training)
        assert watcher.seen, "what is read at log time is seen"


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_no_step_waits_for_the_gpu(videos: Path, tmp_path: Path, precision: str) -> None:
    changes = EVERYTHING | {"NUM_GPUS": 1, "TRAIN__PRECISION": precision}
    with training_of(videos, tmp_path, **changes) as training:
        first, *others = training.sampler.step_sizes()
        train_step(training, first)  # makes what is made once
        torch.cuda.set_sync_debug_mode("error")
        try:
            for size in others:
                train_step(training, size)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert training.state.steps_done == 1 + len(others)
