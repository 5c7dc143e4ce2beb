"""How fast is real training from video files, and what is it that it waits for?

    python -m benchmarks.end_to_end                              # videos of its own making
    python -m benchmarks.end_to_end --list train.csv --model base
    python -m benchmarks.end_to_end --cfg configs/X.yaml DATA.PATH_TO_DATA_DIR /path/to/lists
    torchrun --nproc-per-node 8 -m benchmarks.end_to_end --list /path/to/train.csv

Three ways, in turns: the run as it is; the model alone, on one batch again and again; the loader
alone. The slower of the last two is the bottleneck, and the first over it the efficiency. On a CPU
1 and 2 processes, on a machine with GPUs 1 and all of them; under torchrun those that it starts.
Prints Markdown; writes JSON with --output. KEY VALUE wins over everything else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode

from benchmarks import machine, training
from benchmarks.command import parser_of, write_json
from timesformer.config import load_config
from timesformer.datasets.batch import Batch
from timesformer.distributed.process import Process, gather
from timesformer.engine.feed import Feed
from timesformer.engine.prepare import usable_cores
from timesformer.engine.step import Training
from timesformer.errors import UserError

AS_IT_IS, MODEL, LOADER = "as it is", "model alone", "loader alone"

QUIET: dict[str, Any] = {
    "TRAIN.ENABLE": True,
    "TRAIN.EVAL_PERIOD": 0,
    "TEST.ENABLE": False,
    "TENSORBOARD.ENABLE": False,
}


class TimedFeed:
    """A feed, and the seconds for which the step that asked it had to wait."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.waited = 0.0

    def next(self) -> Batch:
        start = time.perf_counter()
        batch = self.feed.next()
        self.waited += time.perf_counter() - start
        return batch


def measure(
    cfg: CfgNode, process: Process, *, warmup: int, steps: int, repetitions: int, target: Path
) -> None:
    """In every process: all ways in turns. The main one writes what came of them to `target`."""
    run = training.build_run(cfg, process)
    rounds = [one_round(run, warmup, steps) for _ in range(repetitions)]
    waited = gather([each["waited"] for each in rounds])
    if waited is None:
        return
    for number, each in enumerate(rounds):
        each["waited"] = statistics.mean(own[number] for own in waited)
    clips = steps * run.sampler.global_batch * cfg.AUG.NUM_SAMPLE
    row = {
        "processes": process.world_size,
        "clips_a_step": clips // steps,
        "passes_a_step": run.sampler.num_passes(run.sampler.global_batch),
        "workers": cfg.DATA_LOADER.NUM_WORKERS,
        "machine": machine.facts(run.runtime.device),
        "usable_cores": usable_cores(),
        "seconds": rounds,
        **summary(rounds, clips),
    }
    write_json(target, row)


def one_round(run: Training, warmup: int, steps: int) -> dict[str, float]:
    """Seconds of `steps` in each way, and how long the first waited for its batches."""
    training.new_feed(run)
    run.feed.start()
    training.take_steps(run, warmup)
    feed = run.feed = TimedFeed(run.feed)
    seconds = {AS_IT_IS: training.together(run, lambda: training.take_steps(run, steps))}
    seconds["waited"] = feed.waited
    training.same_batch(run)
    training.take_steps(run, warmup)
    seconds[MODEL] = training.together(run, lambda: training.take_steps(run, steps))
    training.new_feed(run)
    run.feed.start()
    passes = run.sampler.num_passes(run.sampler.global_batch)
    load(run, warmup * passes)
    seconds[LOADER] = training.together(run, lambda: load(run, steps * passes))
    return seconds


def load(run: Training, passes: int) -> None:
    for _ in range(passes):
        run.feed.next()


def summary(rounds: Sequence[dict[str, float]], clips: int) -> dict[str, Any]:
    """Medians over the repetitions of clips per second, and of what is a ratio within each."""

    def median(values: Sequence[float]) -> float:
        return round(statistics.median(values), 3)

    speeds = {
        way: median([clips / own[way] for own in rounds]) for way in (AS_IT_IS, MODEL, LOADER)
    }
    return {
        "clips_per_second": speeds,
        "bottleneck": min((MODEL, LOADER), key=lambda way: speeds[way]),
        "efficiency": median([max(own[MODEL], own[LOADER]) / own[AS_IT_IS] for own in rounds]),
        "waited_share": median([own["waited"] / own[AS_IT_IS] for own in rounds]),
        "lost_share": median([1 - own[MODEL] / own[AS_IT_IS] for own in rounds]),
    }


def config_of(arguments: argparse.Namespace, folder: Path, device: torch.device) -> CfgNode:
    """What is trained, as one process would."""
    settings: dict[str, Any] = dict(QUIET)
    if arguments.cfg is None:
        preset = arguments.model or ("base" if device.type == "cuda" else "tiny")
        settings |= training.COMMON | training.PRESETS[preset] | one_process(device)
        settings |= {"DATA_LOADER.NUM_WORKERS": default_workers(device)}
    if arguments.cfg is None or arguments.list:
        training.write_list(folder, training.videos_of(arguments.list, folder))
        settings |= {"DATA.PATH_TO_DATA_DIR": str(folder), "DATA.PATH_PREFIX": ""}
    settings |= {"OUTPUT_DIR": str(folder)}
    return training.run_config(arguments.cfg, settings, overrides=arguments.overrides)


def one_process(device: torch.device) -> dict[str, int]:
    return {"NUM_GPUS": int(device.type == "cuda"), "NUM_PROCS": 1}


def default_workers(device: torch.device) -> int:
    """On a CPU one core of those that are there, beside a GPU all but one of its share."""
    if device.type == "cpu":
        return 1 if usable_cores() > 1 else 0
    return max(1, usable_cores() // torch.cuda.device_count() - 1)


def spread(cfg: CfgNode, processes: int) -> list[str]:
    """KEY VALUE for as many processes on this node, each with the batch that one has in `cfg`."""
    before = max(1, cfg.NUM_GPUS or cfg.NUM_PROCS)
    batch = cfg.TRAIN.BATCH_SIZE // before
    values = {
        "NUM_GPUS": processes if cfg.NUM_GPUS else 0,
        "NUM_PROCS": 1 if cfg.NUM_GPUS else processes,
        "NUM_SHARDS": 1,
        "TRAIN.BATCH_SIZE": batch * processes,
        "GLOBAL_BATCH_SIZE": cfg.GLOBAL_BATCH_SIZE // before * processes,
    }
    return [str(item) for pair in values.items() for item in pair]


def counts_of(arguments: argparse.Namespace, device: torch.device) -> list[int]:
    if "LOCAL_WORLD_SIZE" in os.environ:
        return [int(os.environ["LOCAL_WORLD_SIZE"])]
    if arguments.processes:
        return list(arguments.processes)
    found = torch.cuda.device_count() if device.type == "cuda" else 2
    return sorted({1, found})


def rows_of(arguments: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    device = machine.chosen_device(arguments.device)
    cfg = config_of(arguments, folder, device)
    rows = []
    for processes in counts_of(arguments, device):
        target = folder / f"{processes}.json"
        own = load_config(None, [*flat(cfg), *spread(cfg, processes)])
        work = partial(
            measure,
            warmup=arguments.warmup,
            steps=arguments.steps,
            repetitions=arguments.repetitions,
            target=target,
        )
        training.in_processes(own, work)
        if target.exists():  # else another of torchrun's processes has written it
            rows.append(json.loads(target.read_text()))
    return rows


def flat(node: CfgNode, prefix: str = "") -> list[Any]:
    """KEY VALUE of all that a config says."""
    pairs: list[Any] = []
    for key, value in node.items():
        name = f"{prefix}{key}"
        pairs += flat(value, f"{name}.") if isinstance(value, CfgNode) else [name, value]
    return pairs


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        machine.words(rows[0]["machine"]),
        "",
        f"| processes x workers | {AS_IT_IS}, clips/s | {MODEL} | {LOADER} | bottleneck | "
        "efficiency | waited for data | lost to it |",
        "|---|---:|---:|---:|---|---:|---:|---:|",
    ]
    for row in rows:
        speeds = row["clips_per_second"]
        lines.append(
            f"| {row['processes']} x {row['workers']} | {speeds[AS_IT_IS]:.2f} | "
            f"{speeds[MODEL]:.2f} | {speeds[LOADER]:.2f} | {row['bottleneck']} | "
            f"{row['efficiency']:.2f} | {row['waited_share']:.0%} | {row['lost_share']:.0%} |"
        )
    return "\n".join(lines)


def parse_args() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--cfg", type=Path, help="YAML file (a preset)")
    parser.add_argument("--model", choices=list(training.PRESETS), help="the preset")
    parser.add_argument("--list", type=Path, help="videos: lines of `path label`")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="the GPU if there is one")
    parser.add_argument("--processes", type=int, nargs="+", help="on this machine, in turn")
    parser.add_argument("--warmup", type=int, default=4, help="steps that are not timed")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    return parser.parse_intermixed_args()


def main() -> None:
    arguments = parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = rows_of(arguments, Path(folder))
    except UserError as error:
        sys.exit(f"error: {error}")
    if rows:
        print(markdown(rows))
        write_json(arguments.output, rows)


if __name__ == "__main__":
    main()
