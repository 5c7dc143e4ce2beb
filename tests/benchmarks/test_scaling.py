"""The benchmark of several processes: what it counts is what really travels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import network, scaling, training
from benchmarks.scaling import Setting
from tests.datasets.test_decode import SOUND, write_video
from tests.engine.runs import environment
from tests.shared_data import ROOT

SMALL = [
    *("MODEL.MODEL_NAME", "vit_base_patch16_224", "TIMESFORMER.EMBED_DIM", "64"),
    *("TIMESFORMER.DEPTH", "2", "TIMESFORMER.NUM_HEADS", "2", "DATA.NUM_FRAMES", "2"),
    *("DATA.TRAIN_JITTER_SCALES", "[32,32]", "DATA.TRAIN_CROP_SIZE", "32"),
    *("DATA.TEST_CROP_SIZE", "32", "MODEL.NUM_CLASSES", "400"),
]

can_be_alone = pytest.mark.skipif(
    network.alone() is None, reason="needs a network namespace: root, or user namespaces"
)


def module(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", *words],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def row(setting: Setting, milliseconds: float, sent: int) -> dict[str, Any]:
    return {**setting._asdict(), "milliseconds": milliseconds, "bytes": sent, "machine": {}}


def test_efficiency_is_a_ratio_within_a_repetition() -> None:
    one, two = Setting(1, "ddp", 1), Setting(2, "ddp", 1)
    rounds = [
        {str(one): row(one, a, 0), str(two): row(two, b, 10)}
        for a, b in ((10.0, 10.0), (20.0, 40.0), (30.0, 40.0))
    ]
    found = scaling.row_of(two, rounds, counted=True)
    assert found["efficiency"] == 0.75
    assert found["milliseconds"] == 40
    assert found["bytes"] == 10
    assert scaling.row_of(two, rounds, counted=False)["bytes"] is None


def test_fsdp_is_measured_where_there_are_shares() -> None:
    found = list(scaling.settings_of([1, 2], [1, 4]))
    assert [(s.processes, s.parallel) for s in found] == [(1, "ddp")] * 2 + [(2, "ddp")] * 2 + [
        (2, "fsdp")
    ] * 2


@can_be_alone
@pytest.mark.slow
def test_counted_bytes_are_those_of_the_formulas(tmp_path: Path) -> None:
    video = write_video(tmp_path / "small.avi", *SOUND["plain.avi"], size=(96, 64))
    training.write_list(tmp_path, [str(video)])
    target = tmp_path / "scaling.json"
    done = module(
        *("--processes", "2", "--passes", "2", "--steps", "2", "--warmup", "1"),
        *("--repetitions", "1", "--list", str(tmp_path), "--output", str(target), *SMALL),
    )
    assert done.returncode == 0, done.stderr
    ddp, fsdp = json.loads(target.read_text())["rows"]
    assert (ddp["parallel"], fsdp["parallel"]) == ("ddp", "fsdp")
    for found in (ddp, fsdp):
        assert found["passes"] == 2
        assert found["milliseconds"] > 0
        # Beyond it are headers, acknowledgements, and a word a second of each process.
        assert 1 <= found["bytes"] / found["expected_bytes"] < 1.05
    assert fsdp["expected_bytes"] > 2 * ddp["expected_bytes"]
    assert "| 2 | fsdp | 2 |" in done.stdout


def test_the_calculation_alone(tmp_path: Path) -> None:
    target = tmp_path / "paper.json"
    done = module(
        *("--paper", "--gpus", "1", "8", "256", "--speed", "hr=20", "--between", "1e9"),
        *("--output", str(target)),
    )
    assert done.returncode == 0, done.stderr
    models = json.loads(target.read_text())["paper"]["models"]
    assert set(models) == {"base", "hr", "l"}
    assert models["hr"]["is_measured"]
    assert models["hr"]["clips_per_second_of_a_gpu"] == pytest.approx(20)
    for model in models.values():
        efficiencies = [each["ddp_efficiency"] for each in model["rows"]]
        assert efficiencies == sorted(efficiencies, reverse=True)
        assert efficiencies[0] == 1
        parameters = 121e6
        assert model["rows"][-1]["ddp_mb"] == pytest.approx(8 * parameters / 1e6, rel=0.01)
    assert "| hr, fsdp | 20.0 measured |" in done.stdout


def test_a_wrong_model_is_a_sentence() -> None:
    done = module("--paper", "--speed", "huge=3")
    assert done.returncode == 1
    assert done.stderr == "error: huge: give MODEL=N, with a MODEL of base, hr, l\n"
