"""The memory ladder of a config: what each way of recomputing needs, and what fits where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from timesformer.errors import UserError
from timesformer.profiling.columns import columns
from timesformer.profiling.memory import OUTSIDE, StepMemory, TrainingStep, predict
from timesformer.progress import counted

if TYPE_CHECKING:
    from yacs.config import CfgNode

RUNGS: dict[str, dict[str, Any]] = {
    "all": {"checkpointing": False},
    "all of every 2nd block": {"checkpointing": True, "every": 2},
    "matmul": {"checkpointing": True, "keep": "matmul"},
    "attention": {"checkpointing": True, "keep": "attention"},
    "nothing": {"checkpointing": True},
}
"""By what is kept of the blocks' activations: the arguments of `TrainingStep.memory`."""

PRECISIONS = ("fp32", "bf16")

GPU_GIGABYTES = (16, 24, 32, 80, 141)
SPARE = 0.05
"""Share of a GPU that stays free: gaps that PyTorch's allocator cannot use."""


def memory_report(cfg: CfgNode) -> dict[str, Any]:
    """What a step of the config needs in each process; the same of every rung; what fits where."""
    step = TrainingStep(cfg)
    clips = step.processes.clips
    own = predict(cfg, step)
    return {
        "name": cfg.MODEL.MODEL_NAME,
        "precision": cfg.TRAIN.PRECISION,
        "processes": step.processes.number,
        "clips": clips,
        "peak_bytes": own.peak(clips),
        "parts": own.parts(clips),
        "ladder": ladder(step),
    }


def ladder(step: TrainingStep) -> list[dict[str, Any]]:
    """One row for each rung that the model has and each precision."""
    rows = []
    for rung, how in counted(RUNGS.items(), "memory", "rung"):
        for precision in PRECISIONS:
            try:
                memory = step.memory(precision, **how)
            except UserError:  # a model without blocks has but the first and the last
                continue
            rows.append({"kept": rung, "precision": precision, **in_numbers(memory)})
    return rows


def in_numbers(memory: StepMemory) -> dict[str, Any]:
    return {
        "peak_bytes": memory.peak(1),
        "bytes_of_a_further_clip": memory.peak(1001) // 1000 - memory.peak(1) // 1000,
        "most_clips": {str(size): memory.most_clips(room(size)) for size in GPU_GIGABYTES},
    }


def room(gigabytes: int) -> int:
    """Bytes for tensors on a GPU of so many gigabytes."""
    return int(gigabytes * 1e9 * (1 - SPARE)) - OUTSIDE


def memory_text(report: dict[str, Any]) -> str:
    """A `memory_report` for a person."""
    processes, clips = report["processes"], report["clips"]
    where = f"batch {clips}" + (f" in each of {processes} processes" if processes > 1 else "")
    rows = [
        [f"{report['name']}, {report['precision']}, {where}", "GB"],
        ["greatest need of a training step", gigabytes(report["peak_bytes"])],
        *([f"  {part}", gigabytes(size)] for part, size in report["parts"].items()),
    ]
    titles = ["kept of the activations", "GB of 1 clip", "a clip more"]
    head = [*titles, *(f"in {size} GB" for size in GPU_GIGABYTES)]
    note = (
        "The last columns are clips of one process (TRAIN.BATCH_SIZE is that of a node). Beside "
        f"tensors, {OUTSIDE / 1e9:.1f} GB are left for CUDA, and {SPARE:.0%} of the GPU as gaps."
    )
    return "\n".join([*columns(rows), "", *columns([head, *map(cells, report["ladder"])]), note])


def cells(row: dict[str, Any]) -> list[str]:
    needs = [gigabytes(row[key]) for key in ("peak_bytes", "bytes_of_a_further_clip")]
    return [f"{row['kept']}, {row['precision']}", *needs, *map(str, row["most_clips"].values())]


def gigabytes(size: int) -> str:
    return f"{size / 1e9:,.2f}"
