"""The benchmark of checkpoints runs, and its report holds what docs/PERFORMANCE.md shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.checkpoint import summary
from tests.shared_data import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "checkpoint.json"


def test_shares_are_medians_of_those_within_a_repetition() -> None:
    rows = [
        {
            "steps alone": 10.0,
            "steps beside a save": 10 + extra,
            "steps alone, CPU": 9.0,
            "steps beside a save, CPU": 9.5,
            "waited": 0.2,
            "blocking save": blocking,
            "torch.save": 1.0,
        }
        for extra, blocking in ((0.0, 1.0), (1.0, 4.0), (9.0, 10.0))
    ]
    figures = summary(rows)
    assert figures["extra_share"] == 0.25
    assert figures["extra_s"] == 1
    assert figures["extra_cpu_s"] == 0.5
    assert figures["waited_share"] == 0.05


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    target = tmp_path / "checkpoint.json"
    small = ["--embed-dim", "16", "--depth", "1", "--num-heads", "2", "--size", "16"]
    command = [sys.executable, "-m", "benchmarks.checkpoint", *small, "--repetitions", "2"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path), "--output", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert_is_complete(json.loads(target.read_text()), repetitions=2)
    assert "| save that training waits for |" in done.stdout
    assert "A save in the background holds training up by" in done.stdout
    assert list(tmp_path.iterdir()) == [target]


def test_the_results_that_are_kept_are_complete() -> None:
    report = json.loads(RESULTS.read_text())
    assert_is_complete(report, repetitions=5)
    assert report["parameters"] > 1e8
    assert report["waited_share"] <= 0.05


def assert_is_complete(report: dict[str, Any], repetitions: int) -> None:
    assert len(report["repetitions"]) == repetitions
    assert summary(report["repetitions"]).items() <= report.items()
    assert report["blocking_s"] > 0
    assert report["bytes"] > 4 * 3 * report["parameters"]
