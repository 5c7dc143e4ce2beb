"""The benchmark of growth runs, its fit finds what is there, and its plot is drawn."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.growth import FRAMES, SCHEMES, SIDES, block_run, described, network_of
from benchmarks.growth_fit import fits
from tests.shared_data import ROOT

RESULTS = sorted((ROOT / "benchmarks" / "results").glob("growth*.json"))


def rows(**terms: float) -> list[dict[str, Any]]:
    sizes = [(10, 100), (20, 400), (40, 1600), (30, 200)]
    return [
        {
            "scheme": "axial",
            "task": "forward",
            "tokens": tokens,
            "pairs": pairs,
            "ms": terms["token"] * tokens + terms["pair"] * pairs + terms["rest"],
        }
        for tokens, pairs in sizes
    ]


def test_the_fit_finds_what_the_cost_was_made_of() -> None:
    fit = fits(rows(token=0.5, pair=0.001, rest=3.0))["axial, forward"]
    found = [fit[name] for name in ("ms_per_token", "ms_per_pair", "ms")]
    assert np.allclose(found, [0.5, 0.001, 3.0])
    assert fit["largest_error"] < 1e-9


def test_no_part_of_the_cost_is_below_zero() -> None:
    fit = fits(rows(token=0.5, pair=0.001, rest=-3.0))["axial, forward"]
    assert fit["ms"] == 0
    assert fit["ms_per_token"] > 0
    assert fit["largest_error"] > fit["mean_error"] > 0


def test_what_did_not_fit_into_memory_is_left_out() -> None:
    measured = rows(token=0.5, pair=0.001, rest=3.0)
    measured.append({**measured[0], "ms": None})
    assert fits(measured)["axial, forward"]["largest_error"] < 1e-9
    assert fits([{**row, "ms": None} for row in measured]) == {}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_block_sees_as_many_tokens_as_are_counted(scheme: str) -> None:
    network = network_of(scheme, (2, 32), "block", smallest=True)
    seen = []
    network.model.blocks[0].norm2.register_forward_hook(
        lambda module, inputs, output: seen.append(output[..., 0].numel())
    )
    block_run(network, torch.zeros(1, 3, 4, 48, 48, dtype=torch.uint8))()
    row = described(network, scheme, "forward", 4, 48, "block")
    assert row["tokens"] == 4 * 9 + 1
    # Divided attention carries a copy of the class token for every frame.
    assert seen == [4 * (9 + 1) if scheme == "divided_space_time" else 4 * 9 + 1]
    assert row["flops"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("what", ["block", "network"])
def test_the_benchmark_runs(what: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    target, plot, again = (tmp_path / name for name in ("g.json", "g.png", "again.png"))
    run("--smallest", "--what", what, "--device", "cpu", "--output", target, "--plot", plot)
    report = json.loads(target.read_text())
    assert_is_complete(report)
    assert {row["task"] for row in report["rows"]} >= {"forward"}
    run("--redraw", target, "--plot", again)
    assert plot.read_bytes() == again.read_bytes()
    assert plot.read_bytes().startswith(b"\x89PNG")


def run(*arguments: object) -> None:
    command = [sys.executable, "-m", "benchmarks.growth", *map(str, arguments)]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=200, check=True)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_results_that_are_kept_are_complete(path: Path) -> None:
    report = json.loads(path.read_text())
    assert_is_complete(report)
    points = {(row["frames"], row["side"]) for row in report["rows"]}
    assert points == {(n, SIDES[0]) for n in FRAMES} | {(FRAMES[0], side) for side in SIDES}


def assert_is_complete(report: dict[str, Any]) -> None:
    assert {row["scheme"] for row in report["rows"]} == set(SCHEMES)
    for row in report["rows"]:
        assert (row["ms"] is None) == row["out_of_memory"]
        assert row["out_of_memory"] or len(row["seconds"]) >= 1
        assert row["tokens"] > 0
        assert row["network_tflops"] > 0
    assert {f"{row['scheme']}, {row['task']}" for row in report["rows"]} == set(report["fits"])
