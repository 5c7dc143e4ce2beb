"""Do the things that make training faster or smaller change what is learnt?

    python -m benchmarks.accelerators --output benchmarks/results/accelerators.json \\
        --plot docs/accelerators.png

Real trainings of a tiny TimeSformer on MotionShapes, 200 steps each, through tools/run_net.py: one
as it comes (float32, eager), the same with each accelerator, and the same with other seeds, which
say how far two trainings are apart that nobody would tell from each other. Nothing is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.command import add_plot, parser_of, report_and_plot
from timesformer.config import load_config
from timesformer.datasets.motion_shapes import ensure_motion_shapes

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "MotionShapes" / "TimeSformer_divST_tiny.yaml"
BATCH, STEPS_OF_EPOCH = 16, 20
LAST = 50  # steps, of which differences are taken

BASELINE = "as it comes"
Options = dict[str, Any]
RECOMPUTED: Options = {"TIMESFORMER.GRAD_CHECKPOINTING": True}
KEPT: Options = RECOMPUTED | {"TIMESFORMER.CHECKPOINT_KEEP": "matmul"}
PASSES: Options = {"TRAIN.BATCH_SIZE": BATCH // 2}
ACCELERATORS: dict[str, Options] = {
    "bf16": {"TRAIN.PRECISION": "bf16"},
    "compiled by block": {"TRAIN.COMPILE": "block"},
    "compiled": {"TRAIN.COMPILE": "model"},
    "recomputed": RECOMPUTED,
    "recomputed, every second block": RECOMPUTED | {"TIMESFORMER.CHECKPOINT_EVERY": 2},
    "recomputed but matrix products": KEPT,
    "2 passes a step": PASSES,
    "averaged weights": {"TRAIN.EMA_DECAY": 0.99},
    "all of these": {
        "TRAIN.PRECISION": "bf16",
        "TRAIN.COMPILE": "model",
        **KEPT,
        **PASSES,
        "TRAIN.EMA_DECAY": 0.99,
    },
}
ON_GPU: dict[str, Options] = {
    "fp16": {"TRAIN.PRECISION": "fp16"},
    "tf32": {"TRAIN.PRECISION": "tf32"},
}
ON_CPU: dict[str, Options] = {
    "2 processes": {"NUM_PROCS": 2},
    "2 processes, a share each": {"NUM_PROCS": 2, "TRAIN.PARALLEL": "fsdp"},
}
SEEDS = (1, 2, 3)


def main() -> None:
    arguments = parse_arguments()
    report = report_and_plot(arguments, measured, markdown)
    if arguments.plot:
        from benchmarks.accelerators_plot import draw

        draw(report, arguments.plot)


def parse_arguments() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--device", help="cpu or cuda; the GPU if there is one")
    parser.add_argument("--steps", type=int, default=200, help="a multiple of 20, or fewer (200)")
    parser.add_argument("--cases", nargs="+", help="only these of the accelerators")
    parser.add_argument("--seeds", nargs="*", type=int, default=SEEDS, help="beside 0 (1 2 3)")
    parser.add_argument("--data", type=Path, help="folder for MotionShapes; else a temporary one")
    add_plot(parser)
    return parser.parse_args()


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    device = machine.chosen_device(arguments.device)
    cases = ACCELERATORS | (ON_GPU if device.type == "cuda" else ON_CPU)
    chosen = {name: cases[name] for name in arguments.cases or cases}
    runs = {
        BASELINE: Options(),
        **chosen,
        **{seed_name(n): {"RNG_SEED": n} for n in arguments.seeds},
    }
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or Path(folder, "data")
        clips = BATCH * min(arguments.steps, STEPS_OF_EPOCH)
        ensure_motion_shapes(data, num_train=clips, num_val=1, num_test=1)
        common = common_options(data, arguments.steps, on_gpu=device.type == "cuda")
        for options in runs.values():
            load_config(CONFIG, pairs(common | options))  # refused now, and not after an hour
        losses = {}
        for number, (name, options) in enumerate(runs.items()):
            print(f"{number + 1} of {len(runs)}: {name}", file=sys.stderr)
            losses[name] = train(common | options, Path(folder, f"run{number}"))
    return {
        "machine": machine.facts(device),
        "steps": arguments.steps,
        "options": runs,
        "losses": losses,
        **compared(losses, [BASELINE, *(seed_name(seed) for seed in arguments.seeds)]),
    }


def seed_name(seed: int) -> str:
    return f"seed {seed}"


def common_options(data: Path, steps: int, *, on_gpu: bool) -> Options:
    epochs = max(1, steps // STEPS_OF_EPOCH)
    return {
        "TRAIN.DATASET": "kinetics",  # a csv list like any other: no full MotionShapes is wanted
        "DATA.PATH_TO_DATA_DIR": data,
        "NUM_GPUS": int(on_gpu),
        "TRAIN.BATCH_SIZE": BATCH,
        "GLOBAL_BATCH_SIZE": BATCH,
        "SOLVER.MAX_EPOCH": epochs,
        "SOLVER.WARMUP_EPOCHS": min(1, epochs - 1),
        "LOG_PERIOD": 1,
        "TRAIN.EVAL_PERIOD": 0,
        "TRAIN.CHECKPOINT_PERIOD": steps,  # at the end, which cannot be had without
        "TEST.ENABLE": False,
        "TENSORBOARD.ENABLE": False,
        "DATA_LOADER.NUM_WORKERS": 0,
    }


def pairs(options: Options) -> list[str]:
    return [str(item) for pair in options.items() for item in pair]


def train(options: Options, output: Path) -> list[float]:
    """The loss of every step of a run.

    Raises:
        RuntimeError: the run failed; with what it said.
    """
    words = pairs(options | {"OUTPUT_DIR": output})
    command = [sys.executable, str(ROOT / "tools" / "run_net.py"), "--cfg", str(CONFIG), *words]
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    path = {"PYTHONPATH": str(ROOT)}
    environment = os.environ | threads | path
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2000:]}")
    lines = (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [record["loss"] for record in records if record["_type"] == "train_iter"]


def compared(losses: Mapping[str, list[float]], seeds: list[str]) -> dict[str, Any]:
    """Distances of the last steps: of each run to the baseline, and between every two seeds."""
    between = [apart(losses[one], losses[other]) for one, other in combinations(seeds, 2)]
    ends = [end(losses[name]) for name in seeds]
    others = [name for name in losses if name not in seeds]
    return {
        "seeds": {"apart": between, "end": ends},
        "accelerators": {
            name: {
                "apart": apart(losses[name], losses[BASELINE]),
                "end": end(losses[name]),
                "is_within_noise": apart(losses[name], losses[BASELINE])
                <= min(between, default=float("inf")),
            }
            for name in others
        },
    }


def apart(one: list[float], other: list[float]) -> float:
    """The mean of the absolute differences of the last steps."""
    last = list(zip(one, other, strict=True))[-LAST:]
    return statistics.mean(abs(a - b) for a, b in last)


def end(losses: list[float]) -> float:
    """The mean loss of the last steps."""
    return statistics.mean(losses[-LAST:])


def markdown(report: dict[str, Any]) -> str:
    seeds = report["seeds"]
    lines = [
        machine.words(report["machine"]),
        "",
        f"| of the last {min(LAST, report['steps'])} of {report['steps']} steps | mean loss | "
        "mean distance to the run as it comes |",
        "|---|---:|---:|",
        f"| {BASELINE} | {seeds['end'][0]:.4f} | |",
    ]
    lines += [
        f"| {name} | {own['end']:.4f} | {own['apart']:.4f} |"
        for name, own in report["accelerators"].items()
    ]
    if seeds["apart"]:
        ends = f"{min(seeds['end']):.4f} to {max(seeds['end']):.4f}"
        apart = f"{min(seeds['apart']):.4f} to {max(seeds['apart']):.4f}"
        lines.append(f"| {len(seeds['end'])} seeds, each with each | {ends} | {apart} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
