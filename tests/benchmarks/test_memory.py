"""The benchmark of memory runs, and its report holds what docs/PERFORMANCE.md shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.memory import KEYS, as_options, settings
from tests.shared_data import ROOT
from timesformer.config import load_config
from timesformer.models import build_model
from timesformer.profiling.ladder import PRECISIONS, RUNGS

RESULTS = ROOT / "benchmarks" / "results" / "memory.json"


def test_rungs_by_config_are_those_of_the_ladder() -> None:
    assert list(KEYS) == list(RUNGS)
    small = {"TIMESFORMER.EMBED_DIM": 8, "TIMESFORMER.NUM_HEADS": 1, "TIMESFORMER.DEPTH": 4}
    for rung, keys in KEYS.items():
        cfg = load_config(None, as_options({**small, **keys}, 1))
        network = build_model(cfg).model
        chosen = network.recomputed
        network.set_grad_checkpointing(
            RUNGS[rung]["checkpointing"],
            every=RUNGS[rung].get("every", 1),
            keep=RUNGS[rung].get("keep", "nothing"),
        )
        assert (chosen is None) == (network.recomputed is None)
        if chosen is not None:
            assert vars(chosen) == vars(network.recomputed)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how large a process is")
def test_the_benchmark_runs(tmp_path: Path) -> None:
    target = tmp_path / "memory.json"
    command = [sys.executable, "-m", "benchmarks.memory", "--device", "cpu", "--smallest"]
    done = subprocess.run(
        [*command, "--output", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert_is_complete(json.loads(target.read_text()), ["base"])
    assert "### base: 8 frames of 224 x 224" in done.stdout
    assert "| all | bf16 |" in done.stdout
    assert "### smallest, fp32" in done.stdout


def test_the_results_that_are_kept_are_complete() -> None:
    report = json.loads(RESULTS.read_text())
    assert_is_complete(report, ["base", "HR", "L"])
    assert len(report["processes"]) == len(settings(smallest=False))
    for table in report["predicted"][1:]:  # said to train in 12 GB
        low = [row["peak_bytes"] for row in table["rows"] if row["precision"] == "bf16"]
        assert max(low) < 12e9


def assert_is_complete(report: dict[str, Any], models: list[str]) -> None:
    assert [table["model"] for table in report["predicted"]] == models
    for table in report["predicted"]:
        assert len(table["rows"]) == len(RUNGS) * len(PRECISIONS)
        for row in table["rows"]:
            fitting = list(row["most_clips"].values())
            assert fitting == sorted(fitting)
    for entry in report["processes"]:
        assert abs(entry["difference"]) < 0.15
    for table in report["rungs"]:
        assert [row["setting"] for row in table["rows"]] == list(RUNGS)
        assert table["rows"][0]["times_as_long"] == 1
        assert all(abs(row["difference"]) < 0.15 for row in table["rows"])
