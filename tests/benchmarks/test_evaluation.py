"""The benchmark of tests runs, and both procedures give the same scores."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import released
from benchmarks.evaluation import EQUAL, OURS, READING, RELEASED, SAME, agreed
from benchmarks.separate_views import OUR_ARITHMETIC, RELEASED_ARITHMETIC, Clip
from tests.datasets.test_decode import SOUND, write_video
from tests.shared_data import ROOT
from timesformer.datasets.transforms import ViewTransform

RESULTS = sorted((ROOT / "benchmarks" / "results").glob("evaluation*.json"))


def test_both_arithmetics_show_the_same_places() -> None:
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (2, 8, 11, 3), dtype=np.uint8)
    frames = np.kron(coarse, np.ones((1, 9, 9, 1), np.uint8))  # 72 x 99
    ours = ViewTransform(short_side=48, crop_size=48, num_crops=3)(frames[None])
    for place in range(3):
        exact = (ours[place].float() / 255 - released.MEAN) / released.STD
        same = OUR_ARITHMETIC(torch.from_numpy(frames), 48, place)
        assert torch.equal(same, exact)
        rounded = RELEASED_ARITHMETIC(torch.from_numpy(frames), 48, place)
        level = 1 / 255 / released.STD
        assert (rounded - exact).abs().max() <= 1.01 * level


def test_a_clip_is_decoded_as_released(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", *SOUND["b_frames.mp4"], num_frames=64)
    frames = Clip.of(str(path), num_frames=8, rate=4).decoded()
    assert frames.shape[0] == 8
    assert frames.dtype == torch.uint8


def test_other_scores_stop_the_benchmark() -> None:
    ours = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    outcomes = {OURS: ours, READING: None, RELEASED: ours.flip(0), SAME: ours}
    found = agreed(outcomes)
    assert found[RELEASED] == {"largest_difference": 1.0, "same_class": 0.0}
    assert found[SAME] == {"largest_difference": 0.0, "same_class": 1.0}
    with pytest.raises(AssertionError, match="our resizing: scores are off by"):
        agreed(outcomes | {SAME: ours + 2 * EQUAL})


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    video = write_video(tmp_path / "small.avi", *SOUND["plain.avi"], size=(96, 64))
    target = tmp_path / "evaluation.json"
    command = [sys.executable, "-m", "benchmarks.evaluation", "--smallest", "--repetitions", "1"]
    done = subprocess.run(
        [*command, "--videos", str(tmp_path), str(video), "--output", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    report = json.loads(target.read_text())
    assert_is_complete(report)
    assert report["sets"]["as they come"]["videos"] == 2  # the folder's, and the one that is named
    assert "| prepared: smallest |" in done.stdout


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_results_that_are_kept_are_complete(path: Path) -> None:
    assert_is_complete(json.loads(path.read_text()))


def assert_is_complete(report: dict[str, Any]) -> None:
    assert set(report["sets"]) >= {"as they come", "prepared"}
    for group in report["sets"].values():
        for own in group["models"].values():
            assert own["agreement"][SAME]["largest_difference"] <= EQUAL
            assert own["agreement"][RELEASED]["largest_difference"] < 0.1
            assert own["times_ours"][OURS] == 1
            assert 0 < own["seconds"][READING] < own["seconds"][OURS]
