"""Real steps of a tiny run under the profiler: what is found, and what is left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.engine.runs import REPO, TINY_CONFIG, environment, options
from tests.preparation.made import run_door
from timesformer.config import load_config
from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.distributed.process import Process
from timesformer.engine.build import build_training
from timesformer.logs import Silent
from timesformer.profiling import steps
from timesformer.profiling.trace import BACKWARD, FORWARD, OPTIMIZER, WAITING, read_trace
from timesformer.signals import StopSignals


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """21 clips: two full steps of 8, and a short one."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    ensure_motion_shapes(folder, num_train=21, num_val=1, num_test=1)
    return folder


def config(videos: Path, output: Path, **changes: object):
    keys = options(videos, output, TRAIN__EVAL_PERIOD=0, **changes)
    return load_config(str(TINY_CONFIG), keys)


def test_a_profile_names_every_part_and_writes_nothing_else(videos: Path, tmp_path: Path) -> None:
    cfg = config(videos, tmp_path / "run", GLOBAL_BATCH_SIZE=16, TRAIN__BATCH_SIZE=8)
    found = steps.profile_training(cfg, warmup=0, steps=3)
    assert list((tmp_path / "run").rglob("*")) == [found.trace.parent, found.trace]
    summary = found.summary
    assert summary.steps == 3
    assert found.clips == 16
    assert found.speed > 0
    assert sum(summary.host.values()) == pytest.approx(1)
    assert all(summary.host[part] > 0 for part in (WAITING, FORWARD, BACKWARD, OPTIMIZER))
    calls = [event.name for event in read_trace(found.trace)]
    passes = 3 * 2
    assert [calls.count(part) for part in (WAITING, FORWARD, BACKWARD)] == [passes] * 3
    lines = steps.text(found).splitlines()
    assert len(lines) == 10
    assert "3 steps of 16 clips on the CPU" in lines[0]


def test_afterwards_everything_has_its_own_methods_again(videos: Path, tmp_path: Path) -> None:
    run = build_training(config(videos, tmp_path), Process(), Silent(), StopSignals())
    backward, model, following = torch.Tensor.backward, run.model, run.feed.next
    with pytest.raises(ZeroDivisionError), steps.named_parts(run):
        raise ZeroDivisionError
    assert torch.Tensor.backward is backward
    assert run.model is model
    assert run.feed.next == following


def test_only_full_steps_unless_there_are_none(videos: Path, tmp_path: Path) -> None:
    for batch, expected in ((8, [8, 8, 8, 8, 8]), (32, [21, 21, 21, 21, 21])):
        cfg = config(videos, tmp_path, TRAIN__BATCH_SIZE=batch, GLOBAL_BATCH_SIZE=batch)
        run = build_training(cfg, Process(), Silent(), StopSignals())
        sizes = steps.full_steps(run)
        assert [next(sizes) for _ in range(5)] == expected
        assert run.state.epochs_done == (2 if batch == 8 else 4)


def test_a_large_trace_is_compressed_and_replaces_the_former(tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    trace.write_text('{"traceEvents": []}')
    packed = steps.compressed_if_large(trace, limit=10)
    assert [path.name for path in tmp_path.iterdir()] == ["trace.json.gz"]
    assert read_trace(packed) == []
    trace.write_text("{}")
    assert steps.compressed_if_large(trace, limit=10) == trace
    assert [path.name for path in tmp_path.iterdir()] == ["trace.json"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--steps", "0"], "--steps is 0"),
        (["TRAIN.ENABLE", "False"], "there is no training to profile"),
        (["NUM_PROCS", "2"], "add NUM_GPUS 0 NUM_PROCS 1 NUM_SHARDS 1 TRAIN.BATCH_SIZE 8"),
        (["DATA.NUM_FRAME", "8"], "DATA.NUM_FRAME is not a config key"),
        (["OUTPUT_DIR", "/dev/null/run"], "OUTPUT_DIR: "),
    ],
)
def test_mistakes(words: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = run_door("profile", "--cfg", TINY_CONFIG, *words, monkeypatch=monkeypatch)
    assert isinstance(code, str)
    assert code.startswith("error: ")
    assert sentence in code
    assert "\n" not in code


def test_the_door_hides_no_module_of_python() -> None:
    """cProfile, which torch.compile imports, imports `profile`: from the folder of the script."""
    script = f"import sys; sys.path.insert(0, r'{REPO / 'tools'}'); import cProfile, profile; "
    done = subprocess.run(
        [sys.executable, "-c", f"{script}print(profile.run.__doc__ == cProfile.run.__doc__)"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "True\n", done.stderr
