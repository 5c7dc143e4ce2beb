"""The benchmark of attention runs: its ways agree, and its report is whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.attention import SHAPES, fused, parts_of, row_with_mask, ways_of
from tests.shared_data import ROOT


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.length <= 197], ids=str)
def test_ways_agree(shape: tuple[int, ...]) -> None:
    parts = parts_of(shape, 2, torch.device("cpu"), torch.float64)
    for way in ways_of(shape, 2, torch.device("cpu")).values():
        torch.testing.assert_close(way(parts), fused(parts))


def test_short_sequences_have_a_way_of_their_own() -> None:
    shape = SHAPES[0]
    assert "fused, in a row" in ways_of(shape, 8, torch.device("cpu"))
    parts = parts_of(shape, 8, torch.device("cpu"), torch.float64)
    torch.testing.assert_close(row_with_mask(parts, 8), fused(parts))


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    target = tmp_path / "attention.json"
    small = ["--shapes", "1", "--repetitions", "2", "--batch", "2", "--device", "cpu"]
    command = [sys.executable, "-m", "benchmarks.attention", *small, "--output", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (row,) = json.loads(target.read_text())["rows"]
    assert row["forward"]["fused"]["times_as_fast"] == 1
    assert set(row["with backward"]) == {"fused", "matrix products", "fused, in a row"}
    assert "time, 8 frames, fp32, batch 2" in done.stdout
