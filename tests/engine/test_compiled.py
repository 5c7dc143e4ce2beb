"""TRAIN.COMPILE: one compilation for each way of computing, and the numbers of a run without.

Most runs here are traced and differentiated as any compiled run is, and then computed as they are
written ("aot_eager"), which saves minutes. A few, marked slow, make real machine code.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch._dynamo
from torch._dynamo.utils import counters

from tests.engine import runs
from tests.engine.runs import (
    NO_TIMESFORMER,
    TINY_CONFIG,
    command,
    losses,
    metrics,
    options,
    run_process,
    said,
)
from timesformer.checkpoints import files
from timesformer.config import load_config
from timesformer.distributed.process import Process
from timesformer.engine.build import build_training
from timesformer.engine.step import halve_passes, train_step
from timesformer.errors import UserError
from timesformer.evaluation import summarize
from timesformer.logs import Silent
from timesformer.optim import lr_at, set_lr
from timesformer.signals import StopSignals

pytestmark = [
    # PyTorch hides it from people, but not where warnings are errors.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="needs g++, with which PyTorch compiles for a CPU"
)

TOLERANCE = 1e-5  # of losses after some steps: compiled code adds up in another order

# 21 videos: steps of 4, and one of 1. Validation: 6 videos in passes of 4 and 2.
CHANGES = {
    "TRAIN__BATCH_SIZE": 4,
    "GLOBAL_BATCH_SIZE": 4,
    "TEST__BATCH_SIZE": 4,
    "TIMESFORMER__DROP_PATH_RATE": 0.0,
    "TEST__ENABLE": False,
}


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> Iterator[None]:
    """What one run has compiled, the next one in the same process would find."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture
def _traced() -> Iterator[None]:
    """Compile without making machine code."""
    with torch.compiler.set_stance("default", force_backend="aot_eager"):
        yield


@pytest.fixture(scope="module")
def _machine_code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder for machine code, in which the next test finds what the one before had compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("machine_code")))
        yield


def train(data: Path, output: Path, **changes: object) -> Path:
    return runs.train(data, output, **(CHANGES | changes))


@pytest.fixture(scope="module")
def plain(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(videos, tmp_path_factory.mktemp("plain"), TEST__ENABLE=True)


def compilations() -> int:
    """Since the test began; none of them may have been broken into pieces."""
    assert counters["graph_break"] == Counter()
    return counters["stats"]["unique_graphs"]


def assert_same_numbers(output: Path, plain: Path) -> None:
    assert losses(output) == pytest.approx(losses(plain), abs=TOLERANCE)
    assert metrics(output, "val_epoch") == metrics(plain, "val_epoch")
    newest = [files.newest_good(str(folder)) for folder in (output, plain)]
    assert len({tuple(files.read(path)["model_state"]) for path in newest if path}) == 1


@pytest.mark.usefixtures("_traced")
@pytest.mark.parametrize(("how", "parts"), [("model", (1,)), ("block", (1, 2))])
def test_two_epochs_compile_once_for_training_and_once_for_validation(
    videos: Path, tmp_path: Path, plain: Path, how: str, parts: tuple[int, ...]
) -> None:
    """With ragged ends. The last block may be other code than the one before it."""
    train(videos, tmp_path, TRAIN__COMPILE=how)
    assert compilations() in [2 * number for number in parts]
    assert_same_numbers(tmp_path, plain)
    assert "the network is compiled in the first step" in said(tmp_path)


SHORT = {"SOLVER__MAX_EPOCH": 1, "TRAIN__EVAL_PERIOD": 0}


@pytest.mark.usefixtures("_traced")
@pytest.mark.parametrize("how", ["model", "block"])
@pytest.mark.parametrize(
    "changes",
    [
        {"TIMESFORMER__GRAD_CHECKPOINTING": True},
        {"AUG__NUM_SAMPLE": 2, "MIXUP__ENABLED": True},
        {"TRAIN__BATCH_SIZE": 2, "TRAIN__PRECISION": "bf16"},
        {"TIMESFORMER__ATTENTION_TYPE": "joint_space_time"},
        {"TIMESFORMER__ATTENTION_TYPE": "space_only"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_whatever_is_trained(
    videos: Path, tmp_path: Path, how: str, changes: dict[str, object]
) -> None:
    train(videos, tmp_path / "plain", **SHORT, **changes)
    train(videos, tmp_path / how, TRAIN__COMPILE=how, **SHORT, **changes)
    assert compilations() in ((1,) if how == "model" else (1, 2))
    tolerance = 1e-2 if "TRAIN__PRECISION" in changes else TOLERANCE
    assert losses(tmp_path / how) == pytest.approx(losses(tmp_path / "plain"), abs=tolerance)


@pytest.mark.usefixtures("_traced")
def test_the_average_of_the_weights_is_compiled_where_it_is_validated(
    videos: Path, tmp_path: Path
) -> None:
    changes = {"TRAIN__EMA_DECAY": 0.9, "TRAIN__EMA_EVAL": True, "SOLVER__MAX_EPOCH": 1}
    train(videos, tmp_path / "plain", **changes)
    train(videos, tmp_path / "compiled", TRAIN__COMPILE="model", **changes)
    assert compilations() == 2
    assert_same_numbers(tmp_path / "compiled", tmp_path / "plain")


@pytest.mark.usefixtures("_traced")
def test_the_test_is_compiled(videos: Path, tmp_path: Path, plain: Path) -> None:
    weights = files.epoch_path(str(plain), 2)
    alone = {"TRAIN__ENABLE": False, "TEST__ENABLE": True, "TEST__CHECKPOINT_FILE_PATH": weights}
    train(videos, tmp_path, TRAIN__COMPILE="model", **alone)
    assert compilations() == 1
    assert metrics(tmp_path, "test_final") == metrics(plain, "test_final")


@pytest.mark.usefixtures("_traced")
def test_a_run_continues_compiled_or_not(videos: Path, tmp_path: Path, plain: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(plain, output)
    files.epoch_path(str(output), 2).unlink()
    train(videos, output, TRAIN__COMPILE="block")
    assert compilations() > 0
    assert losses(output)[12:] == pytest.approx(losses(plain)[6:], abs=TOLERANCE)
    assert "resuming, but TRAIN.COMPILE was 'none' and is 'block'" in said(output)
    train(videos, output, SOLVER__MAX_EPOCH=3)
    assert "resuming, but TRAIN.COMPILE was 'block' and is 'none'" in said(output)


@pytest.mark.usefixtures("_traced")
def test_smaller_passes_are_compiled_anew(videos: Path, tmp_path: Path, plain: Path) -> None:
    changes = CHANGES | {"TRAIN__COMPILE": "model", "TRAIN__HALVE_BATCH_ON_OOM": True}
    cfg = load_config(TINY_CONFIG, options(videos, tmp_path, **changes))
    with StopSignals() as stop:
        training = build_training(cfg, Process(), Silent(), stop)
    sums = torch.zeros(4, dtype=torch.float64)
    training.feed.start()
    training.model.train()
    for step, size in enumerate(training.sampler.step_sizes()):
        if step == 2:
            halve_passes(training)
        set_lr(training.state.optimizer, lr_at(step / training.num_steps, cfg))
        train_step(training, size)
        sums += training.meter.reset()
        assert compilations() == (1 if step < 2 else 2)
    (first, _) = metrics(plain, "train_epoch")
    assert summarize(sums)["loss"] == pytest.approx(first["loss"], abs=TOLERANCE)


@pytest.mark.usefixtures("_traced")
def test_a_model_without_blocks(videos: Path, tmp_path: Path) -> None:
    changes = SHORT | NO_TIMESFORMER | {"MODEL__MODEL_NAME": "resnet18_average"}
    with pytest.raises(UserError, match="resnet18_average has no blocks that could be compiled"):
        train(videos, tmp_path, TRAIN__COMPILE="block", **changes)
    train(videos, tmp_path, TRAIN__COMPILE="model", **changes)
    assert compilations() == 1


def test_shares_are_not_compiled_as_a_whole() -> None:
    with pytest.raises(UserError, match="TRAIN.COMPILE model would hold the exchange of weights"):
        load_config(TINY_CONFIG, ["TRAIN.COMPILE", "model", "TRAIN.PARALLEL", "fsdp"])


def test_without_a_compiler_a_sentence(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    done = run_process(command(options(videos, tmp_path, TRAIN__COMPILE="block", **CHANGES)))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: TRAIN.COMPILE: PyTorch could not compile the network" in done.stderr
    assert "TRAIN.COMPILE none does without" in done.stderr


@needs_compiler
@pytest.mark.slow
@pytest.mark.usefixtures("_machine_code")
@pytest.mark.parametrize("how", ["model", "block"])
def test_machine_code_has_the_numbers(videos: Path, tmp_path: Path, plain: Path, how: str) -> None:
    train(videos, tmp_path, TRAIN__COMPILE=how, TEST__ENABLE=True)
    assert_same_numbers(tmp_path, plain)
    assert metrics(tmp_path, "test_final") == metrics(plain, "test_final")


@needs_compiler
@pytest.mark.slow
@pytest.mark.usefixtures("_machine_code")
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes(videos: Path, tmp_path: Path, parallel: str) -> None:
    train(videos, tmp_path / "plain", **SHORT)
    changes = SHORT | {"TIMESFORMER__GRAD_CHECKPOINTING": True, "NUM_PROCS": 2}
    compiled = {"TRAIN__COMPILE": "block", "TRAIN__PARALLEL": parallel}
    train(videos, tmp_path / parallel, **changes, **compiled)
    assert losses(tmp_path / parallel) == pytest.approx(losses(tmp_path / "plain"), abs=TOLERANCE)
