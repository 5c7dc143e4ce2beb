"""How fast are videos read, and how many worker processes does a GPU need?

    python -m benchmarks.data                       # videos of its own making
    python -m benchmarks.data --videos A.mp4 B.avi  # and A.mp4 as prepare_dataset writes it

One process, one thread, everything in turns. Prints Markdown; writes JSON with --output.
"""

from __future__ import annotations

import math
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.command import parser_of, write_json

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, which reads it once

import cv2
import torch

from benchmarks.machine import processor, release
from benchmarks.measure import Times, in_turns
from benchmarks.samples import sample_ways
from benchmarks.videos import made_videos, prepared
from benchmarks.ways import Clips, ways_of

PACKAGES = ("av", "torchcodec", "decord", "opencv-python-headless", "torch", "numpy")
CLIPS_PER_SECOND = (50, 100, 200, 400)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--videos", nargs="+", type=Path, default=[], help="files to read")
    parser.add_argument("--repetitions", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        videos = {path.name: path for path in arguments.videos} or made_videos(Path(folder))
        first = next(iter(videos.values()))
        videos["prepared: H.264, groups of 4"] = prepared(first, Path(folder))
        results = {
            name: measure(path, Path(folder), arguments.repetitions)
            for name, path in videos.items()
        }
    report = {"machine": machine(), "repetitions": arguments.repetitions, "videos": results}
    print(markdown(report))
    write_json(arguments.output, report)


def measure(path: Path, folder: Path, repetitions: int) -> dict[str, Any]:
    """Everything about one video."""
    clips = Clips(str(path), repetitions)
    ways, missing = ways_of(clips)
    samples = sample_ways(clips, folder)
    return {
        "frames": clips.num_frames,
        "fps": clips.fps,
        "bytes": path.stat().st_size,
        "not_installed": missing,
        "read 8x32": table(in_turns(ways, repetitions)),
        **{name: table(in_turns(own, repetitions)) for name, own in samples.items()},
    }


def table(times: dict[str, Times]) -> dict[str, dict[str, float]]:
    """Medians in milliseconds, and how many times our CPU time each takes."""
    return {
        name: {
            "cpu_ms": round(own.cpu_ms, 2),
            "wall_ms": round(own.wall_ms, 2),
            "over_ours": round(own.over(times["ours"]), 2),
        }
        for name, own in times.items()
    }


def machine() -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {package: release(package) for package in PACKAGES},
    }


def markdown(report: dict[str, Any]) -> str:
    """The tables of docs/PERFORMANCE.md."""
    lines: list[str] = []
    for name, results in report["videos"].items():
        lines += [f"### {name}: {results['frames']} frames, {results['bytes'] / 1e6:.1f} MB", ""]
        for what, rows in results.items():
            if isinstance(rows, dict):
                lines += rows_of(what, rows, results["not_installed"] if "read" in what else [])
    return "\n".join([*lines, *workers(report["videos"])])


def rows_of(what: str, rows: dict[str, dict[str, float]], missing: list[str]) -> list[str]:
    return [
        f"| {what} | CPU ms | wall ms | times ours |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {row['cpu_ms']:.1f} | {row['wall_ms']:.1f} | {row['over_ours']:.2f} |"
            for name, row in rows.items()
        ),
        *(f"| {package} | not installed | | |" for package in missing),
        "",
    ]


def workers(videos: dict[str, Any]) -> list[str]:
    """Worker processes, each on a core of its own, for a GPU that trains at a given speed."""
    head = " | ".join(f"{rate} clips/s" for rate in CLIPS_PER_SECOND)
    lines = [f"| workers for | samples/s of one | {head} |", "|---|---:" + "|---:" * 4 + "|"]
    for name, results in videos.items():
        for way in ("ours", "released code, one thread"):
            speed = 1000 / results["training sample"][way]["cpu_ms"]
            counts = " | ".join(str(math.ceil(rate / speed)) for rate in CLIPS_PER_SECOND)
            lines.append(f"| {name}, {way} | {speed:.0f} | {counts} |")
    return lines


if __name__ == "__main__":
    main()
