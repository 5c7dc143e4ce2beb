#!/usr/bin/env python3
"""What a list of a million videos costs: seconds to start, and memory in each worker process.

python benchmarks/loader_memory.py --out benchmarks/results/loader_memory.json

Every figure comes from a fresh process. A worker is measured after it has looked at every line, as
it would within some epochs; what the list adds is the difference to a worker with a list of ten.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import psutil

METHODS = ("fork", "spawn", "forkserver")
NUM_FILES = 10


def write_set(folder: Path, lines: int) -> None:
    """A train.csv of that many lines, all of which name one of a few real videos."""
    from timesformer.datasets.motion_shapes import ensure_motion_shapes

    shapes = folder / "shapes"
    ensure_motion_shapes(shapes, num_train=NUM_FILES, num_val=1, num_test=1)
    videos = sorted(str(path.relative_to(folder)) for path in shapes.rglob("*.mp4"))
    names = [f"{'./' * 12}{videos[i % NUM_FILES]}" for i in range(lines)]
    text = "".join(f"{name} {i % 400}\n" for i, name in enumerate(names))
    (folder / "train.csv").write_text(text)


class LookingAtAll:
    """`dataset`; the second item that a process asks for makes it look at every line once."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.asked = 0

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, request: Any) -> Any:
        self.asked += 1
        if self.asked == 2:
            videos = self.dataset.videos
            lines = zip(videos.paths, videos.labels, strict=True)
            assert all(path and label >= 0 for path, label in lines)
        return self.dataset[request]


def measure(folder: Path, method: str, workers: int) -> dict[str, float]:
    """In a process of its own: start a loader on the list in `folder`, and look at its workers."""
    from timesformer.config import load_config
    from timesformer.datasets.build import build_dataset
    from timesformer.datasets.loader import build_loader
    from timesformer.datasets.sampler import TrainSampler

    multiprocessing.set_start_method(method)
    keys = ["DATA.PATH_TO_DATA_DIR", str(folder), "DATA.NUM_FRAMES", "2"]
    cfg = load_config(None, keys)
    start, start_cpu = time.perf_counter(), time.process_time()
    dataset = LookingAtAll(build_dataset("video_csv", cfg, "train"))
    read, read_cpu = time.perf_counter() - start, time.process_time() - start_cpu
    sampler = TrainSampler(num_samples=len(dataset), global_batch=1, per_pass=1)
    epochs = chain.from_iterable(repeat(sampler))
    some = list(islice(epochs, 4 * workers))  # four of each worker, which take turns
    loader = build_loader(dataset, some, num_workers=workers, pin_memory=False)
    batches = iter(loader)
    created = time.perf_counter() - start
    next(batches)
    first = time.perf_counter() - start
    list(batches)
    children = [psutil.Process(child.pid) for child in multiprocessing.active_children()]
    private = [child.memory_full_info().uss for child in children]
    return {
        "list_seconds": read,
        "list_cpu_seconds": read_cpu,
        "workers_started_seconds": created,
        "first_batch_seconds": first,
        "worker_private_mb": statistics.median(private) / 1e6,
        "largest_worker_private_mb": max(private) / 1e6,
        "main_private_mb": psutil.Process().memory_full_info().uss / 1e6,
    }


def measure_apart(folder: Path, method: str, workers: int) -> dict[str, float]:
    # Without PyTorch's advice on the number of workers: it is part of what is measured.
    command = [
        sys.executable,
        "-W",
        "ignore",
        __file__,
        "--measure",
        str(folder),
        method,
        str(workers),
    ]
    return dict(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))


def compare(lines: int, workers: int, methods: Sequence[str]) -> dict[str, object]:
    results: dict[str, object] = {
        "machine": f"{platform.machine()}, {multiprocessing.cpu_count()} cores",
        "lines": lines,
        "workers": workers,
    }
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder, "large"), Path(folder, "small")
        for place, count in ((large, lines), (small, NUM_FILES)):
            place.mkdir()
            write_set(place, count)
        results["csv_mb"] = (large / "train.csv").stat().st_size / 1e6
        for method in methods:
            many = measure_apart(large, method, workers)
            few = measure_apart(small, method, workers)
            added = many["worker_private_mb"] - few["worker_private_mb"]
            results[method] = {"added_mb_per_worker": added, "large": many, "small": few}
            print(f"{method}: {json.dumps(results[method], indent=1)}", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        folder, method, workers = args.measure
        print(json.dumps(measure(Path(folder), method, int(workers))))
        return
    results = compare(args.lines, args.workers, args.methods)
    if args.out:
        args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
