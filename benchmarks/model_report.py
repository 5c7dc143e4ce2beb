"""The tables of `benchmarks.model`."""

from __future__ import annotations

from typing import Any

from benchmarks.machine import words
from benchmarks.peers import TRANSFORMERS

HEAD = "| | ms | clips/s | peak MB | of the limit | executed | off by | the port alike | its fp32 |"
NOTE = """\
*Of the limit*: operations of the model's matrix products in a second (training: three times the
forward pass) as a share of what the quickest matrix product of this model's sizes reached in the
same run and arithmetic. What a network leaves out counts as done there; *executed* counts what is
really done. *Off by*: largest difference to the same program's eager float32 outputs (of training:
of the loss). *The port alike*, *its fp32*: how many times as fast as Transformers' port, as
eager or compiled and in the same arithmetic as the line, and eager in float32."""


def markdown(report: dict[str, Any]) -> str:
    lines = [words(report["machine"]), ""]
    for case in report["cases"]:
        lines += table(case)
    lines += [f"left out, for time: {title}" for title in report["left_out"]]
    return "\n".join([*lines, NOTE])


def table(case: dict[str, Any]) -> list[str]:
    frames, side = case["clip"][1], case["clip"][2]
    title = f"{case['model']} ({frames} x {side}), {case['scheme']}, {case['task']}"
    limits = ", ".join(
        f"{precision} {limit['tflops']:.3g} TFLOP/s ({' x '.join(map(str, limit['matrices']))})"
        for precision, limit in case["limits"].items()
    )
    return [
        f"### {title}, batch {case['batch']}",
        "",
        f"{case['flops_of_a_clip'] / 1e9:.4g} GFLOP a clip; limits: {limits}",
        "",
        HEAD,
        "|---|" + "---:|" * 8,
        *(row(name, way, case) for name, way in case["ways"].items()),
        *(f"| {name} | {reason} | | | | | | | |" for name, reason in case["failed"].items()),
        "",
    ]


def row(name: str, way: dict[str, Any], case: dict[str, Any]) -> str:
    compiled = "compiled" if "compiled" in way["how"] else "eager"
    alike = f"{TRANSFORMERS}, {compiled}, {way['precision']}"
    beside = [times(name, other, case) for other in (alike, f"{TRANSFORMERS}, eager, fp32")]
    cells = [
        f"{way['ms']:.4g}",
        f"{way['clips_per_s']:.4g}",
        f"{way['peak_bytes'] / 1e6:,.0f}",
        f"{way['utilisation']:.1%}",
        f"{way['executed_utilisation']:.1%}",
        f"{way['difference']:.0e}",
        *beside,
    ]
    return f"| {name} | {' | '.join(cells)} |"


def times(name: str, other: str, case: dict[str, Any]) -> str:
    """How many times as fast, where the other was measured."""
    ratio = case["times_as_fast"][name].get(other)
    return "" if ratio is None else f"{ratio:.2f}"
