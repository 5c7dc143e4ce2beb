"""What does a training step need, what fits where, and what does saving memory cost in speed?

    python -m benchmarks.memory --output benchmarks/results/memory.json
    python -m benchmarks.memory --device cpu --smallest

Three parts: predictions for a GPU, made without one; real steps beside their predictions, by what
the system says of a process on the CPU (Linux), or PyTorch's allocator of a GPU; and the time of a
step on every rung of the ladder, all rungs in turns with the same weights. Prints Markdown; writes
JSON with --output. A CPU takes a quarter of an hour; a GPU four minutes.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode

from benchmarks import machine
from benchmarks.command import parser_of, write_json
from benchmarks.measure import in_turns
from benchmarks.memory_report import markdown
from benchmarks.real_step import ROOT, Steps, measured
from timesformer.config import load_config
from timesformer.profiling.ladder import RUNGS, ladder
from timesformer.profiling.memory import TrainingStep, predict

KINETICS = ROOT / "configs" / "Kinetics"
CONFIGS = {
    "base": KINETICS / "TimeSformer_divST_8x32_224.yaml",
    "HR": KINETICS / "TimeSformer_divST_16x16_448.yaml",
    "L": KINETICS / "TimeSformer_divST_96x4_224.yaml",
}
CLIPS_ON_GPU = {"base": 8, "HR": 1, "L": 1}

RECOMPUTED = {"TIMESFORMER.GRAD_CHECKPOINTING": True}
KEYS: dict[str, dict[str, Any]] = {
    "all": {},
    "all of every 2nd block": {**RECOMPUTED, "TIMESFORMER.CHECKPOINT_EVERY": 2},
    "matmul": {**RECOMPUTED, "TIMESFORMER.CHECKPOINT_KEEP": "matmul"},
    "attention": {**RECOMPUTED, "TIMESFORMER.CHECKPOINT_KEEP": "attention"},
    "nothing": RECOMPUTED,
}
"""The rungs of `RUNGS` by config."""

LARGE = {"timesformer_large": 16, "timesformer_huge": 14}
"""And the sides of their patches."""
ON_GPUS = {
    "NUM_GPUS": 8,
    "TRAIN.PRECISION": "bf16",
    "SOLVER.OPTIMIZING_METHOD": "adamw",
    "DATA.TEST_CROP_SIZE": 224,  # a multiple of either
}
ON_CPU = {"NUM_GPUS": 0, "SOLVER.OPTIMIZING_METHOD": "adamw"}
SMALL = {**ON_CPU, "TIMESFORMER.EMBED_DIM": 384, "TIMESFORMER.NUM_HEADS": 6}
TINY = {
    **ON_CPU,
    "TIMESFORMER.EMBED_DIM": 192,
    "TIMESFORMER.NUM_HEADS": 3,
    "DATA.TRAIN_CROP_SIZE": 112,
    "DATA.TEST_CROP_SIZE": 112,
    "DATA.TRAIN_JITTER_SCALES": [128, 160],
}
RUNGS_ON_CPU = {
    "tiny 8x112": TINY,
    "small 8x224": SMALL,
    "small 8x224, joint": {**SMALL, "TIMESFORMER.ATTENTION_TYPE": "joint_space_time"},
}
BF16 = {"TRAIN.PRECISION": "bf16", "SOLVER.OPTIMIZING_METHOD": "sgd"}
SCHEMES = ("joint_space_time", "space_only", "sparse_local_global", "axial")


def main() -> None:
    arguments = parse_arguments()
    device = machine.chosen_device(arguments.device)
    usual = 7 if device.type == "cuda" else 4
    repetitions = arguments.repetitions or (2 if arguments.smallest else usual)
    report = {
        "machine": machine.facts(device),
        "repetitions": repetitions,
        "predicted": predictions(arguments.smallest),
        "shares": [] if arguments.smallest else shares(),
        "processes": [] if device.type == "cuda" else processes(arguments.smallest),
        "rungs": rungs(device, repetitions, arguments.smallest),
    }
    print(markdown(report))
    write_json(arguments.output, report)


def parse_arguments() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--device", help="cpu or cuda; the GPU if there is one")
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--smallest", action="store_true", help="seconds, to see that it runs")
    return parser.parse_args()


def configured(keys: dict[str, Any], clips: int, path: Path | None = None) -> CfgNode:
    return load_config(path, as_options(keys, clips))


def as_options(keys: dict[str, Any], clips: int) -> list[Any]:
    """One pass of `clips`."""
    pairs = {**keys, "TRAIN.BATCH_SIZE": clips, "GLOBAL_BATCH_SIZE": clips}.items()
    return [part for pair in pairs for part in pair]


def predictions(smallest: bool) -> list[dict[str, Any]]:
    """Every rung of the three models as their configs train them: SGD, 8 GPUs."""
    names = ["base"] if smallest else list(CONFIGS)
    tables = []
    for name in names:
        say(f"prediction of {name}")
        cfg = load_config(CONFIGS[name], ["TIMESFORMER.DEPTH", 2] if smallest else [])
        clip = [cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE]
        tables.append({"model": name, "clip": clip, "rows": ladder(TrainingStep(cfg))})
    return tables


def shares() -> list[dict[str, Any]]:
    """The large models on 8 GPUs, a clip in each, AdamW and bf16: all of the model, or a share."""
    rows = []
    for name, patch in LARGE.items():
        for parallel in ("ddp", "fsdp"):
            for rung in ("all", "nothing"):
                say(f"prediction of {name}, {parallel}, {rung}")
                keys = {"TRAIN.PARALLEL": parallel, "TIMESFORMER.PATCH_SIZE": patch, **KEYS[rung]}
                cfg = configured({"MODEL.MODEL_NAME": name, **ON_GPUS, **keys}, 8)
                memory = predict(cfg)
                size = {"peak_bytes": memory.peak(1), "parts": memory.parts(1)}
                rows.append({"model": name, "parallel": parallel, "kept": rung, **size})
    return rows


def settings(smallest: bool) -> list[tuple[str, dict[str, Any], int]]:
    """Title, keys and clips of what is measured in processes of its own."""
    if smallest:
        return [("tiny, all", {**TINY, "TIMESFORMER.DEPTH": 1}, 1)]
    return [
        *((f"small 8x224, {rung}, fp32", {**SMALL, **keys}, 2) for rung, keys in KEYS.items()),
        *(
            (f"tiny 8x112, {scheme}, {rung}, fp32", {**of_scheme(scheme), **KEYS[rung]}, 4)
            for scheme in SCHEMES
            for rung in ("all", "nothing")
        ),
        *(
            (f"tiny 8x112, {rung}, bf16, SGD", {**TINY, **BF16, **keys}, 1)
            for rung, keys in KEYS.items()
        ),
    ]


def of_scheme(scheme: str) -> dict[str, Any]:
    return {**TINY, "TIMESFORMER.ATTENTION_TYPE": scheme}


def processes(smallest: bool) -> list[dict[str, Any]]:
    rows = []
    for title, keys, clips in settings(smallest):
        say(title)
        predicted = predict(configured(keys, clips)).peak(clips)
        rows.append(
            compared(title, clips, predicted, measured(as_options(keys, clips), clips)["rss"])
        )
    return rows


def compared(title: str, clips: int, predicted: int, needed: int) -> dict[str, Any]:
    return {
        "setting": title,
        "clips": clips,
        "predicted_bytes": predicted,
        "measured_bytes": needed,
        "difference": predicted / needed - 1,
    }


def rungs(device: torch.device, repetitions: int, smallest: bool) -> list[dict[str, Any]]:
    """Memory and time of the rungs of each model and precision."""
    if device.type == "cpu":
        chosen = RUNGS_ON_CPU if not smallest else {"smallest": {**TINY, "TIMESFORMER.DEPTH": 1}}
        return [
            of_rungs(name, configured(keys, 1), device, repetitions)
            for name, keys in chosen.items()
        ]
    tables = []
    for name, path in CONFIGS.items():
        for precision in ("bf16", "fp32"):
            keys = {"NUM_GPUS": 1, "TRAIN.PRECISION": precision}
            cfg = configured(keys, CLIPS_ON_GPU[name], path)
            tables.append(of_rungs(name, cfg, device, repetitions))
            gc.collect()
            torch.cuda.empty_cache()
    return tables


def of_rungs(name: str, cfg: CfgNode, device: torch.device, repetitions: int) -> dict[str, Any]:
    """One network on all rungs in turns; those that run out of memory are left out."""
    precision, clips = cfg.TRAIN.PRECISION, cfg.TRAIN.BATCH_SIZE
    say(f"{name}, {precision}: {clips} clips on every rung")
    imagined, steps = TrainingStep(cfg), Steps(cfg, device)
    ways: dict[str, Callable[[int], object]] = {}
    rows: dict[str, dict[str, Any]] = {}
    for rung, how in RUNGS.items():
        way = partial(take, steps, clips, how)
        try:
            way(0)
            needed = needed_by(way, steps, clips)
        except torch.OutOfMemoryError:
            continue
        rows[rung] = compared(rung, clips, imagined.memory(precision, **how).peak(clips), needed)
        ways[rung] = way
    on_gpu = device.type == "cuda"
    times = in_turns(ways, repetitions)
    seconds = {rung: each.wall if on_gpu else each.cpu for rung, each in times.items()}
    first = seconds[next(iter(seconds))]
    for rung, own in seconds.items():
        rows[rung]["ms"] = 1e3 * statistics.median(own)
        rows[rung]["clips_per_s"] = clips / statistics.median(own)
        rows[rung]["times_as_long"] = statistics.median(
            mine / its for mine, its in zip(own, first, strict=True)
        )
    return {"model": name, "precision": precision, "clips": clips, "rows": list(rows.values())}


def take(steps: Steps, clips: int, how: dict[str, Any], repetition: int) -> None:
    """A step on a rung."""
    rung = {name: value for name, value in how.items() if name != "checkpointing"}
    steps.model.set_grad_checkpointing(how["checkpointing"], **rung)
    steps.take(clips)
    if steps.runtime.device.type == "cuda":
        torch.cuda.synchronize(steps.runtime.device)


def needed_by(way: Callable[[int], object], steps: Steps, clips: int) -> int:
    """Bytes of tensors; of a GPU what PyTorch's allocator has given out."""
    device = steps.runtime.device
    if device.type == "cpu":
        return steps.needed(clips)
    torch.cuda.reset_peak_memory_stats(device)
    way(0)
    return torch.cuda.max_memory_allocated(device)


def say(what: str) -> None:
    print(what, file=sys.stderr)


if __name__ == "__main__":
    main()
