"""The benchmark of loss curves trains, and its report holds what it shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accelerators import ACCELERATORS, BASELINE, ON_CPU, ON_GPU, compared
from tests.shared_data import ROOT
from timesformer.config.defaults import KEYS

RESULTS = sorted((ROOT / "benchmarks" / "results").glob("accelerators*.json"))


def test_options_are_keys() -> None:
    for options in [*ACCELERATORS.values(), *ON_CPU.values(), *ON_GPU.values()]:
        assert options
        assert options.keys() <= KEYS.keys()


def test_distances_are_taken_from_the_last_steps() -> None:
    late = [5.0] * 30 + [1.0] * 50
    losses = {BASELINE: late, "seed 1": [0.0] * 80, "near": [0.0] * 30 + [1.25] * 50}
    report = compared(losses, [BASELINE, "seed 1"])
    assert report["seeds"] == {"apart": [1.0], "end": [1.0, 0.0]}
    near = {"apart": 0.25, "end": 1.25, "is_within_noise": True}
    assert report["accelerators"] == {"near": near}


def test_a_run_that_learns_otherwise_is_not_within_noise() -> None:
    losses = {BASELINE: [1.0] * 60, "seed 1": [1.1] * 60, "broken": [1.4] * 60}
    report = compared(losses, [BASELINE, "seed 1"])
    assert not report["accelerators"]["broken"]["is_within_noise"]


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    target, plot = tmp_path / "a.json", tmp_path / "a.png"
    arguments = ["--steps", "4", "--seeds", "1", "--cases", "2 passes a step", "recomputed"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.accelerators", "--device", "cpu", *arguments),
            *("--output", str(target), "--plot", str(plot)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=True,
    )
    report = json.loads(target.read_text())
    assert_is_complete(report)
    assert set(report["losses"]) == {BASELINE, "2 passes a step", "recomputed", "seed 1"}
    for own in report["accelerators"].values():
        assert own["apart"] < 1e-4 < report["seeds"]["apart"][0]
    assert "| 2 passes a step |" in done.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_results_that_are_kept_are_complete(path: Path) -> None:
    report = json.loads(path.read_text())
    assert_is_complete(report)
    assert report["steps"] == 200
    assert set(report["accelerators"]) >= set(ACCELERATORS)
    assert all(own["is_within_noise"] for own in report["accelerators"].values())


def assert_is_complete(report: dict[str, Any]) -> None:
    assert all(len(losses) == report["steps"] for losses in report["losses"].values())
    assert set(report["options"]) == set(report["losses"])
    assert len(report["seeds"]["end"]) + len(report["accelerators"]) == len(report["losses"])
