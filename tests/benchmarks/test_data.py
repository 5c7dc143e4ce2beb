"""The benchmark of reading videos runs, and its report holds what docs/PERFORMANCE.md shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measure import Times, in_turns
from benchmarks.released import read_clip
from benchmarks.ways import Clips, ways_of
from tests.datasets.test_decode import SOUND, write_video
from tests.shared_data import ROOT
from timesformer.datasets.decode import VideoReader

RESULTS = ROOT / "benchmarks" / "results" / "data.json"


def test_ways_take_turns_each_after_a_call_that_is_not_timed() -> None:
    calls: list[tuple[str, int]] = []
    ways = {name: lambda n, name=name: calls.append((name, n)) for name in "ab"}
    times = in_turns(ways, 2)
    first, second = [("a", 1), ("a", 0), ("b", 1), ("b", 0)], [("a", 0), ("a", 1), ("b", 0)]
    assert calls == [*first, *second, ("b", 1)]
    assert [len(times[name].cpu) for name in "ab"] == [2, 2]


def test_a_ratio_is_the_median_of_the_repetitions() -> None:
    one, other = Times([1.0, 8.0, 3.0], []), Times([1.0, 2.0, 1.0], [])
    assert one.over(other) == 3
    assert one.cpu_ms == 3000


@pytest.mark.parametrize("name", ["b_frames.mp4", "plain.avi"])
def test_every_way_reads_the_same_frames(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, *SOUND[name], num_frames=300)
    clips = Clips(str(path), 3)
    ways, _ = ways_of(clips)
    del ways["limit: decoding alone"]  # returns none
    with VideoReader(str(path)) as reader:
        for number, indices in enumerate(clips.indices):
            frames = reader.read(indices)
            assert len(frames) == 8
            for way, read in ways.items():
                difference = np.asarray(read(number)).astype(int) - frames
                # Other releases of FFmpeg round MPEG-4's inverse transform differently.
                is_other_release = way.startswith(("torchcodec", "decord"))
                assert np.abs(difference).max() <= (8 if is_other_release else 0), way


def test_the_released_way_decodes_one_frame_past_the_clip_and_converts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "long.mp4", *SOUND["b_frames.mp4"], num_frames=300)
    stacked: list[int] = []
    stack = np.stack

    def counting(pictures: list[np.ndarray]) -> np.ndarray:
        stacked.append(len(pictures))
        return stack(pictures)

    monkeypatch.setattr(np, "stack", counting)
    read_clip(str(path), start=10, span=64, num_frames=8, threads=1)
    assert stacked == [65]


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    video = write_video(tmp_path / "small.avi", *SOUND["plain.avi"], size=(96, 64))
    target = tmp_path / "data.json"
    command = [sys.executable, "-m", "benchmarks.data", "--repetitions", "1"]
    done = subprocess.run(
        [*command, "--videos", str(video), "--output", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    report = json.loads(target.read_text())
    assert set(report["videos"]) == {"small.avi", "prepared: H.264, groups of 4"}
    assert_is_complete(report)
    assert "| limit: decoding alone |" in done.stdout
    assert "| small.avi, ours |" in done.stdout


def test_the_results_that_are_kept_are_complete() -> None:
    assert_is_complete(json.loads(RESULTS.read_text()))


def assert_is_complete(
    report: dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]],
) -> None:
    for results in report["videos"].values():
        for measured in ("read 8x32", "training sample", "test sample, 3 views"):
            rows = results[measured]
            assert {"ours", "released code, as written", "released code, one thread"} <= set(rows)
            assert all(row["cpu_ms"] >= 0 and row["wall_ms"] > 0 for row in rows.values())
            assert rows["ours"]["over_ours"] == 1
