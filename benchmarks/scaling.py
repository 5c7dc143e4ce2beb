"""What more processes cost: time and bytes of a step, measured here and calculated for a cluster.

    python -m benchmarks.scaling                # 1 and 2 processes here, and the calculation
    python -m benchmarks.scaling --paper --utilisation 0.5 --between 40e9
    torchrun --nproc-per-node 8 -m benchmarks.scaling --one --model base

Weak scaling: every process has its own batch, always the same one, so that no loader is in the way.
The processes' bytes are counted on a loopback device of their own, where the system allows it (as
root, or with user namespaces), and compared with the formulas of benchmarks/cluster.py, which
docs/SCALING.md explains. Prints Markdown; writes JSON with --output.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.command import parser_of, write_json

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: a core for each process

import torch
from fvcore.common.config import CfgNode

from benchmarks import cluster, machine, network, paper, training
from timesformer.distributed.launch import plan_run
from timesformer.distributed.process import Process
from timesformer.errors import UserError


class Setting(NamedTuple):
    """One way of training, measured in processes of its own."""

    processes: int
    parallel: str
    passes: int

    def __str__(self) -> str:
        how = "alone" if self.processes == 1 else self.parallel
        return f"{self.processes} x {how}, {self.passes} passes"


def settings_of(processes: Sequence[int], passes: Sequence[int]) -> Iterator[Setting]:
    for count in processes:
        for parallel in ("ddp", "fsdp") if count > 1 else ("ddp",):
            for number in passes:
                yield Setting(count, parallel, number)


def measure(cfg: CfgNode, process: Process, *, warmup: int, steps: int, target: Path) -> None:
    """In every process; the main one writes what came of it to `target`."""
    run = training.build_run(cfg, process)
    bf16 = cfg.TRAIN.PRECISION == "bf16"
    work = replace(
        paper.work_of(run.state.model, run.sampler.num_passes(run.sampler.global_batch)),
        parameter_bytes=cluster.BFLOAT16 if bf16 else cluster.FLOAT32,
    )
    training.same_batch(run)
    training.take_steps(run, warmup)
    before = network.sent_bytes()
    seconds = training.together(run, lambda: training.take_steps(run, steps))
    sent = (network.sent_bytes() - before) / steps / process.world_size
    if process.is_main:
        on_gpu, parallel = cfg.NUM_GPUS > 0, cfg.TRAIN.PARALLEL
        expected = expected_bytes(work, process.world_size, parallel, on_gpu=on_gpu)
        row = {
            "processes": process.world_size,
            "parallel": parallel,
            "passes": work.passes,
            "clips_a_pass": cfg.TRAIN.BATCH_SIZE // process.local_world_size,
            "milliseconds": round(1e3 * seconds / steps, 2),
            "bytes": round(sent),
            "expected_bytes": round(expected),
            "machine": machine.facts(run.runtime.device),
        }
        write_json(target, row)


def expected_bytes(work: cluster.Work, processes: int, parallel: str, *, on_gpu: bool) -> float:
    if parallel == "ddp":
        return cluster.ddp_bytes(work, processes)
    sums = cluster.NCCL_SUMS if on_gpu else cluster.GLOO_SUMS
    return cluster.fsdp_bytes(work, processes, sums)


def run_one(arguments: argparse.Namespace, folder: Path) -> dict[str, Any] | None:
    """Measure what this process, and those that torchrun has started with it, are told."""
    device = machine.chosen_device(arguments.device)
    if arguments.own_network:
        network.switch_on()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", arguments.processes[0]))
    cfg = config_of(arguments, folder, device, processes)
    target = folder / "row.json"
    work = partial(measure, warmup=arguments.warmup, steps=arguments.steps, target=target)
    training.in_processes(cfg, work)
    if not target.exists():  # another of torchrun's processes has written it
        return None
    row = json.loads(target.read_text())
    return row if arguments.own_network else row | {"bytes": None}


def config_of(
    arguments: argparse.Namespace, folder: Path, device: torch.device, processes: int
) -> CfgNode:
    preset = arguments.model or ("base" if device.type == "cuda" else "tiny")
    on_gpu, passes = device.type == "cuda", arguments.passes[0]
    if arguments.list is None:
        training.write_list(folder, training.videos_of(None, folder))
    settings = training.COMMON | training.PRESETS[preset]
    batch = (arguments.batch or settings["TRAIN.BATCH_SIZE"]) * processes
    settings |= {
        "NUM_GPUS": processes if on_gpu else 0,
        "NUM_PROCS": 1 if on_gpu else processes,
        "TRAIN.BATCH_SIZE": batch,
        "TRAIN.PARALLEL": arguments.parallel,
        "DATA.PATH_TO_DATA_DIR": str(arguments.list or folder),
        "DATA_LOADER.NUM_WORKERS": 0,
        "OUTPUT_DIR": str(folder),
    }
    cfg = training.run_config(None, settings, overrides=arguments.overrides)
    plan = plan_run(cfg, os.environ)
    step = batch * plan.world_size // plan.local_world_size * passes
    settings |= {"GLOBAL_BATCH_SIZE": step}
    return training.run_config(None, settings, overrides=arguments.overrides)


def run_all(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every setting in turn, `repetitions` times, each in processes of its own."""
    if arguments.list is None:
        training.write_list(folder, training.videos_of(None, folder))
    prefix = network.alone() if torch.cuda.device_count() < 2 else None
    settings = list(settings_of(arguments.processes, arguments.passes))
    rounds = [
        {str(setting): apart(arguments, setting, prefix, folder) for setting in settings}
        for _ in range(arguments.repetitions)
    ]
    rows = [row_of(setting, rounds, counted=prefix is not None) for setting in settings]
    return {"machine": rounds[0][str(settings[0])]["machine"], "rows": rows}


def apart(
    arguments: argparse.Namespace, setting: Setting, prefix: list[str] | None, folder: Path
) -> dict[str, Any]:
    """One setting, in new processes; on a network of their own if `prefix` makes one."""
    target = folder / "row of one.json"
    options = {
        "--processes": setting.processes,
        "--parallel": setting.parallel,
        "--passes": setting.passes,
        "--warmup": arguments.warmup,
        "--steps": arguments.steps,
        "--list": arguments.list or folder,
        "--output": target,
        **{f"--{name}": getattr(arguments, name) for name in ("device", "model", "batch")},
    }
    given = [str(item) for pair in options.items() if pair[1] is not None for item in pair]
    command = [*(prefix or ()), sys.executable, "-m", "benchmarks.scaling", "--one", *given]
    command += ["--own-network"] if prefix else []
    # A network of one's own has no names, which PyTorch would complain of.
    quiet = {"TORCH_CPP_LOG_LEVEL": "ERROR", **os.environ}
    command += arguments.overrides
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=quiet)
    return dict(json.loads(target.read_text()))


def row_of(setting: Setting, rounds: Sequence[dict[str, Any]], *, counted: bool) -> dict[str, Any]:
    """Medians over the repetitions, and of what is a ratio within each."""
    own = [each[str(setting)] for each in rounds]
    alone = [each.get(str(Setting(1, "ddp", setting.passes))) for each in rounds]
    ratios = [a["milliseconds"] / b["milliseconds"] for a, b in zip(alone, own, strict=True) if a]
    row = {key: value for key, value in own[0].items() if key != "machine"}
    is_counted = counted and setting.processes > 1
    return row | {
        "milliseconds": statistics.median(each["milliseconds"] for each in own),
        "repetitions": [each["milliseconds"] for each in own],
        "efficiency": round(statistics.median(ratios), 3) if ratios else None,
        "bytes": statistics.median(each["bytes"] for each in own) if is_counted else None,
    }


def markdown(report: dict[str, Any]) -> str:
    lines = [
        machine.words(report["machine"]),
        "",
        "| processes | gradients by | passes a step | ms a step | efficiency | MB sent by each "
        "| by the formula | sent over formula |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in report["rows"]:
        expected, sent = row["expected_bytes"], row["bytes"]
        by_each = f"{sent / 1e6:.2f}" if sent is not None else "-"
        ratio = f"{sent / expected:.3f}" if sent is not None and expected else "-"
        better = f"{row['efficiency']:.2f}" if row.get("efficiency") else "-"
        parallel = row["parallel"] if row["processes"] > 1 else "-"
        lines.append(
            f"| {row['processes']} | {parallel} | {row['passes']} | {row['milliseconds']:.0f} | "
            f"{better} | {by_each} | {expected / 1e6:.2f} | {ratio} |"
        )
    return "\n".join(lines)


def parse_args() -> argparse.Namespace:
    parser = parser_of(__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--one", action="store_true", help="measure one setting, in these processes")
    what.add_argument("--paper", action="store_true", help="calculate, and measure nothing")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="of this machine")
    parser.add_argument("--passes", type=int, nargs="+", default=[1, 4], help="of a step")
    parser.add_argument("--parallel", choices=("ddp", "fsdp"), default="ddp", help="of --one")
    parser.add_argument("--model", choices=list(training.PRESETS), help="what is trained")
    parser.add_argument("--batch", type=int, help="clips of one process in a pass (the preset's)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="the GPU if there is one")
    parser.add_argument("--list", type=Path, help="folder with a train.csv (videos are made)")
    parser.add_argument("--warmup", type=int, default=2, help="steps that are not timed")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--own-network", action="store_true", help=argparse.SUPPRESS)
    paper.add_options(parser)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    return parser.parse_intermixed_args()


def report_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was asked for; empty in all processes of torchrun but the main one."""
    if arguments.paper:
        return {"paper": paper.report(arguments)}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.one:
            return run_one(arguments, Path(folder)) or {}
        return run_all(arguments, Path(folder)) | {"paper": paper.report(arguments)}


def main() -> None:
    arguments = parse_args()
    try:
        report = report_of(arguments)
    except UserError as error:
        sys.exit(f"error: {error}")
    if arguments.one and report:
        print(markdown({"machine": report["machine"], "rows": [report]}))
    elif report:
        measured = [markdown(report)] if "rows" in report else []
        print("\n\n".join([*measured, paper.markdown(report["paper"])]))
    if report:
        write_json(arguments.output, report)


if __name__ == "__main__":
    main()
