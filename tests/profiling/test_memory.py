"""The memory that is predicted for a training step is what a real one needs."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from benchmarks.real_step import Steps, measured
from tests.models.tiny import WITHOUT_TIMESFORMER, tiny_cfg
from timesformer.config import load_config
from timesformer.errors import UserError
from timesformer.models.attention import ATTENTION_SCHEMES
from timesformer.profiling import memory
from timesformer.profiling.ladder import RUNGS
from timesformer.profiling.memory import TrainingStep, predict

TOLERANCE = 0.15

Keys = dict[str, Any]

NONE: Keys = {}
FULL: Keys = {"TIMESFORMER__GRAD_CHECKPOINTING": True}
SECOND: Keys = {**FULL, "TIMESFORMER__CHECKPOINT_EVERY": 2}
ATTENTION: Keys = {**FULL, "TIMESFORMER__CHECKPOINT_KEEP": "attention"}
MATMUL: Keys = {**FULL, "TIMESFORMER__CHECKPOINT_KEEP": "matmul"}
ALONE: Keys = {"NUM_GPUS": 0, "TRAIN__BATCH_SIZE": 1, "GLOBAL_BATCH_SIZE": 1}
CPU: Keys = {"NUM_GPUS": 0, "SOLVER__OPTIMIZING_METHOD": "adamw"}
MIDDLE: Keys = {
    **CPU,
    "TIMESFORMER__EMBED_DIM": 192,
    "TIMESFORMER__NUM_HEADS": 3,
    "TIMESFORMER__DEPTH": 4,
    "DATA__TRAIN_CROP_SIZE": 112,
    "DATA__TEST_CROP_SIZE": 112,
    "DATA__TRAIN_JITTER_SCALES": [128, 160],
}


def options(clips: int, **keys: Any) -> list[Any]:
    sizes = {"TRAIN__BATCH_SIZE": clips, "GLOBAL_BATCH_SIZE": clips}
    pairs = {**sizes, **keys}.items()
    return [part for key, value in pairs for part in (key.replace("__", "."), value)]


def predicted(clips: int, **keys: Any) -> int:
    return predict(load_config(None, options(clips, **keys))).peak(clips)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how large the process is")
@pytest.mark.parametrize(
    ("clips", "keys"),
    [
        (8, NONE),
        (8, {**MATMUL, "TRAIN__EMA_DECAY": 0.9}),
        (16, {**FULL, "TIMESFORMER__ATTENTION_TYPE": "joint_space_time"}),
        (1, {"TRAIN__PRECISION": "bf16", "SOLVER__OPTIMIZING_METHOD": "sgd"}),
    ],
    ids=["all kept", "matmul", "joint", "bf16"],
)
def test_a_process_grows_by_what_is_predicted(clips: int, keys: Keys) -> None:
    chosen = {**MIDDLE, **keys}
    needed = measured(options(clips, **chosen), clips)
    assert predicted(clips, **chosen) == pytest.approx(needed["rss"], rel=TOLERANCE)
    assert predicted(clips, **chosen) == pytest.approx(needed["tensors"], rel=0.01)


TINY: Keys = {
    **CPU,
    "MODEL__NUM_CLASSES": 5,
    "DATA__TRAIN_CROP_SIZE": 32,
    "DATA__TEST_CROP_SIZE": 32,
    "DATA__NUM_FRAMES": 3,
    "TIMESFORMER__PATCH_SIZE": 8,
    "TIMESFORMER__EMBED_DIM": 48,
    "TIMESFORMER__DEPTH": 4,
    "TIMESFORMER__NUM_HEADS": 2,
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("rung", [NONE, SECOND, ATTENTION, MATMUL, FULL], ids=list(RUNGS))
def test_every_rung_needs_what_its_tensors_do(rung: Keys, precision: str) -> None:
    keys = {**TINY, **rung, "TRAIN__PRECISION": precision}
    assert predicted(3, **keys) == pytest.approx(of_tensors(3, **keys), rel=0.02)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("scheme", ATTENTION_SCHEMES.names())
def test_every_scheme_needs_what_its_tensors_do(scheme: str, dropout: float) -> None:
    keys = {**TINY, "TIMESFORMER__ATTENTION_TYPE": scheme, "TIMESFORMER__ATTN_DROP_RATE": dropout}
    assert predicted(2, **keys) == pytest.approx(of_tensors(2, **keys), rel=0.02)


def of_tensors(clips: int, **keys: Any) -> int:
    """What the tensors of a real step need, in this process."""
    steps = Steps(load_config(None, options(clips, **keys)))
    steps.take(clips)
    return steps.needed(clips)


def test_one_trace_is_right_for_every_number_of_clips() -> None:
    """But for what PyTorch need not copy of a single clip."""
    step = TrainingStep(load_config(None, options(1, **TINY)))
    for how in RUNGS.values():
        any_number = step.memory("fp32", **how)
        for clips, tolerance in ((1, 0.03), (2, 1e-3), (31, 1e-3)):
            exact = step.memory("fp32", **how, clips=clips)
            assert any_number.peak(clips) == pytest.approx(exact.peak(clips), rel=tolerance)


def test_the_most_clips_are_those_that_still_fit() -> None:
    needed = predict(load_config(None, options(1, **TINY)))
    for clips in (1, 2, 50):
        assert needed.most_clips(needed.peak(clips)) == clips
        assert needed.most_clips(needed.peak(clips) - 1) == clips - 1
    assert needed.most_clips(1000) == 0


def test_parts_add_up_to_the_peak() -> None:
    needed = predict(load_config(None, options(4, **TINY, TRAIN__EMA_DECAY=0.9)))
    parts = needed.parts(4)
    assert sum(parts.values()) == needed.peak(4)
    weights = 4 * sum(
        p.numel() for p in Steps(load_config(None, options(4, **TINY))).model.parameters()
    )
    assert parts["weights"] == pytest.approx(weights, rel=0.01)
    assert parts["average"] == parts["weights"]
    assert parts["optimizer"] == pytest.approx(2 * weights, rel=0.05)
    assert parts["activations"] > parts["workspace"] > 0
    assert 0 < parts["inputs"] < parts["activations"]


@pytest.mark.parametrize(
    ("method", "states"),
    [({}, 1), ({"SOLVER__MOMENTUM": 0.0, "SOLVER__NESTEROV": False}, 0)],
)
def test_what_sgd_remembers(method: Keys, states: int) -> None:
    keys = {**TINY, "SOLVER__OPTIMIZING_METHOD": "sgd", **method}
    parts = predict(load_config(None, options(1, **keys))).parts(1)
    assert parts["optimizer"] == pytest.approx(states * parts["weights"], abs=5e3)


def test_processes_share_what_they_can() -> None:
    alone, several = TINY, {**TINY, "NUM_PROCS": 4}

    def lasting(**keys: Any) -> dict[str, int]:
        cfg = load_config(None, options(8, **keys))
        return predict(cfg).lasting

    whole, copies = lasting(**alone), lasting(**several)
    assert copies == whole | {"gradients": pytest.approx(whole["weights"], rel=0.01)}
    shares = lasting(**several, TRAIN__PARALLEL="fsdp")
    for part in ("weights", "optimizer"):
        assert shares[part] == whole[part] // 4
    assert shares["exchange"] > 0
    assert "gradients" not in shares
    assert lasting(**alone, TRAIN__PARALLEL="fsdp") == whole


def test_several_passes_keep_the_gradients() -> None:
    keys = {**TINY, "GLOBAL_BATCH_SIZE": 4}
    parts = predict(load_config(None, options(2, **keys))).lasting
    assert parts["gradients"] == pytest.approx(parts["weights"], rel=0.01)


def test_on_a_gpu_there_is_more() -> None:
    on_cpu, on_gpu = TINY, {**TINY, "NUM_GPUS": 1, "TIMESFORMER__ATTN_DROP_RATE": 0.1}
    low = {"TRAIN__PRECISION": "bf16"}
    gpu = predict(load_config(None, options(1, **on_gpu, **low)))
    single = predict(load_config(None, options(1, **on_gpu)))
    cpu = predict(load_config(None, options(1, **on_cpu, **low)))
    assert gpu.lasting["libraries"] == 2 * memory.CUBLAS_WORKSPACE
    # A buffer of 128 rows for sequences of 3, and no matrix of attention weights for its dropout.
    rows = 4 * (1 + 16) * 2 * 128 * 32
    assert rows < gpu.parts(1)["workspace"] + gpu.parts(1)["activations"] < 3 * rows
    assert cpu.parts(1)["workspace"] < rows
    for same, precision in ((gpu, "fp16"), (single, "tf32")):
        other = predict(load_config(None, options(1, **on_gpu, TRAIN__PRECISION=precision)))
        assert other.peak(1) == same.peak(1)


def test_a_model_without_blocks_and_a_batch_that_cannot_be_shared() -> None:
    steps = Steps(tiny_cfg(MODEL__MODEL_NAME="resnet18_average", **WITHOUT_TIMESFORMER, **ALONE))
    steps.take(1)
    assert predict(steps.cfg).peak(1) == pytest.approx(steps.needed(1), rel=0.02)
    with pytest.raises(UserError, match="use a multiple of 3"):
        predict(load_config(None, options(4, **TINY, NUM_PROCS=3)))


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("rung", [NONE, MATMUL, FULL], ids=["all", "matmul", "nothing"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_base_on_a_gpu(precision: str, rung: Keys) -> None:
    keys = {"NUM_GPUS": 1, "TRAIN__PRECISION": precision, **rung}
    steps = Steps(load_config(None, options(4, **keys)), torch.device("cuda"))
    steps.take(4)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    steps.take(4)
    needed = torch.cuda.max_memory_allocated()
    assert predicted(4, **keys) == pytest.approx(needed, rel=TOLERANCE)
