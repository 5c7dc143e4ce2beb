"""The models of the paper on 8 to 256 GPUs, calculated: see docs/SCALING.md for what it assumes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from benchmarks import cluster
from timesformer.models.build import MODEL_REGISTRY
from timesformer.profiling.cost import expected

MODELS = {
    "base": ("timesformer_base", (3, 8, 224, 224)),
    "hr": ("timesformer_hr", (3, 16, 448, 448)),
    "l": ("timesformer_l", (3, 96, 224, 224)),
}
FLOPS_OF_A_MULTIPLY_ADD, PASSES_OVER_THE_MODEL = 2, 3  # the backward pass computes twice as much
CLIPS = {"base": 8, "hr": 1, "l": 1}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Every figure of the calculation."""
    given = cluster.Network()
    group = parser.add_argument_group("the calculation, for GPUs that are not here")
    add = group.add_argument
    add("--gpus", type=int, nargs="+", default=[1, 8, 16, 32, 64, 128, 256])
    add("--clips", nargs="+", default=[], metavar="MODEL=N", help="of a GPU in a pass (8, 1, 1)")
    add("--speed", nargs="+", default=[], metavar="MODEL=N", help="measured clips/s of one GPU")
    add("--peak", type=float, default=989e12, help="FLOP/s of a GPU (H100, H200: bf16)")
    add("--utilisation", type=float, default=0.4, help="of the peak, where no speed is given")
    add("--node", type=int, default=given.gpus, help="GPUs of a node")
    add("--inside", type=float, default=given.inside, help="bytes/s of a GPU within a node")
    add("--between", type=float, default=given.between, help="bytes/s of a node to others")
    add("--latency-inside", type=float, default=given.latency_inside, help="seconds")
    add("--latency-between", type=float, default=given.latency_between, help="seconds")
    add("--overlap", type=float, default=given.overlap, help="of the computing that hides")
    add("--accumulate", type=int, default=1, help="passes of a step")
    add("--gradient-bytes", type=int, default=cluster.FLOAT32, help="of a number")
    add("--parameter-bytes", type=int, default=cluster.BFLOAT16, help="of a number, with FSDP")


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of a step, clips per second and efficiency, for each model and way."""
    net = cluster.Network(
        arguments.node,
        arguments.inside,
        arguments.between,
        arguments.latency_inside,
        arguments.latency_between,
        arguments.overlap,
    )
    clips = CLIPS | {name: int(value) for name, value in pairs(arguments.clips)}
    speeds = {name: float(value) for name, value in pairs(arguments.speed)}
    models = {}
    for name in MODELS:
        work, flops = one_pass(name)
        assumed = arguments.peak * arguments.utilisation / flops
        work = replace(
            work,
            seconds=clips[name] / speeds.get(name, assumed),
            passes=arguments.accumulate,
            parameter_bytes=arguments.parameter_bytes,
            gradient_bytes=arguments.gradient_bytes,
        )
        models[name] = {
            "clips_a_pass": clips[name],
            "flops_a_clip": flops,
            "clips_per_second_of_a_gpu": clips[name] / work.seconds,
            "is_measured": name in speeds,
            "rows": [row(work, gpus, net, clips[name]) for gpus in arguments.gpus],
        }
    return {"network": net.__dict__, "passes": arguments.accumulate, "models": models}


def pairs(given: Sequence[str]) -> list[tuple[str, str]]:
    """``base=8`` -> (base, 8)."""
    found = [(name, value) for name, _, value in (each.partition("=") for each in given)]
    unknown = [name for name, value in found if name not in MODELS or not value]
    if unknown:
        raise SystemExit(f"error: {unknown[0]}: give MODEL=N, with a MODEL of {', '.join(MODELS)}")
    return found


def one_pass(name: str) -> tuple[cluster.Work, float]:
    """The parameters, and FLOPs of one clip forward and backward, from the model itself."""
    entry, clip = MODELS[name]
    with torch.device("meta"):
        model = MODEL_REGISTRY.get(entry)(num_classes=400)
    _, _, multiply_adds = expected(model, clip)
    assert multiply_adds is not None
    return work_of(model, passes=1), PASSES_OVER_THE_MODEL * FLOPS_OF_A_MULTIPLY_ADD * multiply_adds


def work_of(model: nn.Module, passes: int) -> cluster.Work:
    """The shapes of its parameters, in its blocks, which are all alike, and outside of them."""
    blocks = max((m for m in model.modules() if isinstance(m, nn.ModuleList)), key=len)
    inside = {id(parameter) for parameter in blocks.parameters()}
    outside = [tuple(p.shape) for p in model.parameters() if id(p) not in inside]
    block = [tuple(p.shape) for p in blocks[0].parameters()]
    return cluster.Work((outside, block), depth=len(blocks), seconds=0.0, passes=passes)


def row(work: cluster.Work, gpus: int, net: cluster.Network, clips: int) -> dict[str, float]:
    found: dict[str, float] = {"gpus": gpus}
    for way, seconds_of, bytes_of in (
        ("ddp", cluster.ddp_seconds, cluster.ddp_bytes),
        ("fsdp", cluster.fsdp_seconds, cluster.fsdp_bytes),
    ):
        seconds = seconds_of(work, gpus, net)
        found |= {
            f"{way}_ms": round(1e3 * seconds, 3),
            f"{way}_mb": round(bytes_of(work, gpus) / 1e6, 1),
            f"{way}_clips_per_second": round(gpus * clips * work.passes / seconds, 1),
            f"{way}_efficiency": round(cluster.efficiency(seconds, work), 4),
        }
    return found


def markdown(found: dict[str, Any]) -> str:
    """A table: efficiency, and clips per second, by the number of GPUs."""
    first = next(iter(found["models"].values()))
    gpus = [str(row["gpus"]) for row in first["rows"]]
    lines = [
        f"| calculated | clips/s of a GPU | MB at {gpus[-1]} | {' | '.join(gpus)} GPUs |",
        "|---|---:|---:" + "|---:" * len(gpus) + "|",
    ]
    for name, model in found["models"].items():
        source = "measured" if model["is_measured"] else "assumed"
        speed = f"{model['clips_per_second_of_a_gpu']:.1f} {source}"
        for way in ("ddp", "fsdp"):
            shares = " | ".join(f"{row[f'{way}_efficiency']:.1%}" for row in model["rows"])
            sent = f"{model['rows'][-1][f'{way}_mb']:,.0f}"
            lines.append(f"| {name}, {way} | {speed} | {sent} | {shares} |")
    return "\n".join(lines)
