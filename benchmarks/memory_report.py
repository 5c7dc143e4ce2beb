"""The tables of `benchmarks.memory` for docs/PERFORMANCE.md."""

from __future__ import annotations

from typing import Any

from benchmarks import machine
from timesformer.profiling.ladder import GPU_GIGABYTES


def markdown(report: dict[str, Any]) -> str:
    lines: list[str] = []
    for table in report["predicted"]:
        lines += [*prediction(table), ""]
    if report["shares"]:
        lines += [*in_shares(report["shares"]), ""]
    if report["processes"]:
        lines += [*comparison(report["processes"]), ""]
    for table in report["rungs"]:
        lines += [*cost(table), ""]
    return "\n".join([*lines, f"Measured on {machine.words(report['machine'])}."])


def prediction(table: dict[str, Any]) -> list[str]:
    frames, side = table["clip"]
    sizes = [f"in {size} GB" for size in GPU_GIGABYTES]
    return [
        f"### {table['model']}: {frames} frames of {side} x {side}",
        "",
        *rows(
            ["kept", "precision", "GB of 1 clip", "a clip more", *sizes], map(fits, table["rows"])
        ),
    ]


def fits(row: dict[str, Any]) -> list[str]:
    needs = [gigabytes(row[name]) for name in ("peak_bytes", "bytes_of_a_further_clip")]
    return [row["kept"], row["precision"], *needs, *map(str, row["most_clips"].values())]


def in_shares(entries: list[dict[str, Any]]) -> list[str]:
    head = ["8 GPUs, AdamW, bf16", "TRAIN.PARALLEL", "kept", "GB of 1 clip", "weights to optimiser"]
    body = (
        [
            *(entry[name] for name in ("model", "parallel", "kept")),
            gigabytes(entry["peak_bytes"]),
            gigabytes(sum(entry["parts"][part] for part in ("weights", "gradients", "optimizer"))),
        ]
        for entry in entries
    )
    return rows(head, body)


def comparison(entries: list[dict[str, Any]]) -> list[str]:
    head = ["a process", "clips", "predicted, MB", "grown by, MB", "difference"]
    return rows(head, ([*sizes(entry, 1e6), f"{entry['difference']:+.1%}"] for entry in entries))


def cost(table: dict[str, Any]) -> list[str]:
    head = ["kept", "clips", "predicted, GB", "needed, GB", "difference", "ms", "clips/s", "times"]
    body = (
        [
            *sizes(entry, 1e9),
            f"{entry['difference']:+.1%}",
            f"{entry['ms']:.1f}",
            f"{entry['clips_per_s']:.2f}",
            f"{entry['times_as_long']:.2f}",
        ]
        for entry in table["rows"]
    )
    return [f"### {table['model']}, {table['precision']}", "", *rows(head, body)]


def sizes(entry: dict[str, Any], unit: float) -> list[str]:
    numbers = [entry[name] / unit for name in ("predicted_bytes", "measured_bytes")]
    return [entry["setting"], str(entry["clips"]), *(f"{number:,.2f}" for number in numbers)]


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f}"


def rows(head: list[str], body: Any) -> list[str]:
    marks = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (head, marks, *body)]
