"""The benchmark of whole trainings runs, and says what its numbers mean."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import training
from benchmarks.end_to_end import AS_IT_IS, LOADER, MODEL, spread, summary
from tests.benchmarks.test_scaling import SMALL
from tests.datasets.test_decode import SOUND, write_video
from tests.engine.runs import environment
from tests.shared_data import ROOT
from timesformer.config import load_config


def test_the_slower_part_is_the_bottleneck() -> None:
    rounds = [
        {AS_IT_IS: 4.0, MODEL: 2.0, LOADER: 3.0, "waited": 1.0},
        {AS_IT_IS: 4.0, MODEL: 1.0, LOADER: 4.0, "waited": 2.0},
        {AS_IT_IS: 4.0, MODEL: 3.0, LOADER: 2.0, "waited": 0.0},
    ]
    found = summary(rounds, clips=12)
    assert found["clips_per_second"] == {AS_IT_IS: 3, MODEL: 6, LOADER: 4}
    assert found["bottleneck"] == LOADER
    assert found["efficiency"] == 0.75
    assert found["waited_share"] == 0.25
    assert found["lost_share"] == 0.5


def test_each_process_has_the_batch_that_one_had() -> None:
    keys = ["NUM_GPUS", 4, "TRAIN.BATCH_SIZE", 32, "GLOBAL_BATCH_SIZE", 64]
    cfg = load_config(None, keys)
    two = load_config(None, [*keys, *spread(cfg, 2)])
    assert (two.NUM_GPUS, two.TRAIN.BATCH_SIZE, two.GLOBAL_BATCH_SIZE) == (2, 16, 32)


def test_a_list_is_read_from_where_it_lies(tmp_path: Path) -> None:
    named = tmp_path / "some.csv"
    named.write_text("videos/a b.mp4 3\n\n/elsewhere/c.avi 0\n")
    found = training.videos_of(named, tmp_path)
    assert found == [str(tmp_path / "videos" / "a b.mp4"), "/elsewhere/c.avi"]


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    video = write_video(tmp_path / "small.avi", *SOUND["plain.avi"], size=(96, 64))
    (tmp_path / "list.csv").write_text(f"{video.name} 0\n")
    target = tmp_path / "end_to_end.json"
    words = ["--steps", "2", "--warmup", "1", "--repetitions", "1", "--device", "cpu"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.end_to_end", *words, "--output", str(target)),
            *("--list", str(tmp_path / "list.csv"), *SMALL, "DATA_LOADER.NUM_WORKERS", "1"),
        ],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(target.read_text())
    assert [row["processes"] for row in rows] == [1, 2]
    for row in rows:
        assert row["clips_a_step"] == 2 * row["processes"]
        assert set(row["clips_per_second"]) == {AS_IT_IS, MODEL, LOADER}
        assert row["bottleneck"] in (MODEL, LOADER)
        assert 0 <= row["waited_share"] < 1
        assert len(row["seconds"]) == 1
    assert "| 2 x 1 |" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "end_to_end.json",
        "list.csv",
        "small.avi",
    ]
