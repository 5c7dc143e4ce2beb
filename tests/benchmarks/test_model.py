"""The benchmark of models runs, what it compares is equal, and its report holds what it shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.agreement import CLOSE, difference
from benchmarks.cases import BF16_FLAGS, MODELS, SCHEMES, Case, Way, presets
from benchmarks.ceiling import ceiling
from benchmarks.peers import LUCIDRAINS, OURS, TRANSFORMERS, make
from benchmarks.steps import Inference, Training, executed_flops, peak_of_allocations
from benchmarks.turns import built, clips_of, ratios, size_of
from tests.shared_data import ROOT

RESULTS = sorted((ROOT / "benchmarks" / "results").glob("model_*.json"))
CPU = torch.device("cpu")
SMALLEST = MODELS["smallest"]


@pytest.mark.parametrize("scheme", ["divided_space_time", "joint_space_time"])
@pytest.mark.parametrize("task", ["inference", "training"])
def test_the_port_has_our_weights_and_outputs(task: str, scheme: str) -> None:
    pytest.importorskip("transformers")
    ways = [Way(OURS, "eager", "fp32"), Way(TRANSFORMERS, "eager", "fp32")]
    case = Case("smallest", scheme, task, ways, batch=2)
    entries, failed = built(case, clips_of(case, 2, CPU))
    assert not failed
    assert len(entries) == 2
    assert all(entry.facts["difference"] <= 1e-4 for entry in entries)
    one, other = (float(entry.step().sum()) for entry in entries)
    assert one == pytest.approx(other, abs=1e-4)  # of training: after three steps
    assert one != 0


def test_what_is_folded_or_in_low_precision_agrees() -> None:
    ways = [Way(OURS, how, p) for how, p in [("folded", "fp32"), ("folded", "bf16")]]
    case = Case("smallest", SCHEMES[0], "inference", ways, batch=3)
    entries, _ = built(case, clips_of(case, 3, CPU))
    exact, rounded = (entry.facts["difference"] for entry in entries)
    assert exact <= 1e-5
    assert 1e-5 < rounded < CLOSE["bf16"]


def test_other_outputs_stop_the_benchmark() -> None:
    right, way = torch.zeros(2, 3), Way(OURS, "eager", "fp32")
    assert difference(right + 5e-5, right, way) == pytest.approx(5e-5)
    with pytest.raises(AssertionError, match="ours, eager, fp32 is off by"):
        difference(right + 2e-4, right, way)


def test_a_package_that_is_missing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timesformer_pytorch", None)
    ways = [Way(OURS, "eager", "fp32"), Way(LUCIDRAINS, "eager", "fp32")]
    case = Case("smallest", SCHEMES[0], "inference", ways, batch=2)
    entries, failed = built(case, clips_of(case, 2, CPU))
    assert [entry.way.who for entry in entries] == [OURS]
    assert failed == {"lucidrains, eager, fp32": "not installed"}


def test_a_training_step_learns() -> None:
    case = Case("smallest", SCHEMES[0], "training", [])
    step = Training(make(OURS, case.geometry), "eager", "fp32", clips_of(case, 2, CPU))
    first, *_, last = (float(step()) for _ in range(30))
    assert last < first


def test_memory_is_what_a_step_holds_at_its_worst() -> None:
    def run() -> None:
        one = torch.zeros(1000, 1000)
        del one
        two = torch.zeros(500, 1000)
        torch.zeros(250, 1000)
        del two

    assert peak_of_allocations(run) == pytest.approx(4e6, rel=0.01)


def test_operations_of_the_port_are_those_of_the_formula() -> None:
    pytest.importorskip("transformers")
    case = Case("smallest", SCHEMES[0], "inference", [])
    _, work = size_of(case)
    clip = (3, SMALLEST["num_frames"], SMALLEST["img_size"], SMALLEST["img_size"])
    theirs = executed_flops(lambda: make(TRANSFORMERS, case.geometry), "eager", "inference", clip)
    ours = executed_flops(lambda: make(OURS, case.geometry), "eager", "inference", clip)
    assert theirs == work
    assert ours < work


def test_recomputing_costs_operations() -> None:
    case = Case("smallest", SCHEMES[0], "training", [])
    clip = tuple(clips_of(case, 1, CPU).shape[1:])
    counts = [
        executed_flops(lambda: make(OURS, case.geometry), how, "training", clip)
        for how in ("eager", "recomputed but matmuls", "recomputed")
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_the_ceiling_is_a_matrix_product_of_the_model() -> None:
    limit = ceiling(50, 32, "fp32", CPU)
    assert limit.shape in {(50, 32, 96), (50, 32, 32), (50, 32, 128), (50, 128, 32)}
    assert limit.flops == 2 * limit.shape[0] * limit.shape[1] * limit.shape[2]
    output = limit.run()
    assert isinstance(output, torch.Tensor)
    assert output.shape == (50, limit.shape[2])


def test_ratios_are_those_within_a_repetition() -> None:
    seconds = {"a": [1.0, 2.0, 4.0], "b": [3.0, 8.0, 8.0]}
    assert ratios(seconds, ["a", "b"]) == {"a": {"a": 1, "b": 3}, "b": {"a": 1 / 3, "b": 1}}


@pytest.mark.parametrize("name", ["smallest", "cpu", "gpu"])
def test_presets_name_what_exists(name: str) -> None:
    for flags in ([], BF16_FLAGS):
        cases = presets(name, flags)
        assert {case.scheme for case in cases} == set(SCHEMES)
        assert all(case.model in MODELS and case.ways for case in cases)
        assert all(len({way.name for way in case.ways}) == len(case.ways) for case in cases)


def test_inference_is_in_evaluation_and_training_is_not() -> None:
    class Mode(nn.Linear):
        def forward(self, clip: torch.Tensor) -> torch.Tensor:
            return super().forward(clip.flatten(1)) + float(self.training)

    pixels = torch.zeros(2, 3, 1, 2, 2, dtype=torch.uint8)
    assert not Inference(Mode(12, 2), "eager", "fp32", pixels).network.training
    assert Training(Mode(12, 2), "eager", "fp32", pixels).network.training


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    target, profile = tmp_path / "model.json", tmp_path / "profile.txt"
    command = [sys.executable, "-m", "benchmarks.model", "--preset", "smallest", "--device", "cpu"]
    done = subprocess.run(
        [*command, "--repetitions", "1", "--output", str(target), "--profile", str(profile)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=True,
    )
    report = json.loads(target.read_text())
    assert_is_complete(report)
    assert len(report["cases"]) == 10
    assert "| ours, compiled, fp32 |" in done.stdout
    assert "### smallest (2 x 32), axial, training, batch 2" in done.stdout
    assert profile.read_text().count("Self CPU time total") == 10


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_results_that_are_kept_are_complete(path: Path) -> None:
    report = json.loads(path.read_text())
    assert_is_complete(report)
    _, preset, model, *_ = path.stem.split("_")  # model_cpu_base_avx512: what was measured where
    assert report["preset"] == preset
    assert {case["model"] for case in report["cases"]} == {model}


def assert_is_complete(report: dict[str, Any]) -> None:
    assert report["machine"]["processor"]
    assert report["cases"]
    for case in report["cases"]:
        assert case["ways"], case["failed"]
        assert case["quickest"] in case["ways"]
        for name, way in case["ways"].items():
            assert way["ms"] > 0
            assert way["peak_bytes"] > 0
            assert way["clips_per_s"] == pytest.approx(1e3 * case["batch"] / way["ms"])
            assert 0 < way["utilisation"]
            assert way["difference"] <= CLOSE[way["precision"]] * 10
            assert case["times_as_fast"][name][name] == 1
            assert case["limits"][way["precision"]]["tflops"] > 0
