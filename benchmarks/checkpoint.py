"""How long does a checkpoint hold up the training?

    python -m benchmarks.checkpoint                      # TimeSformer ViT-B with AdamW: 1.5 GB
    python -m benchmarks.checkpoint --embed-dim 192 --num-heads 3 --folder /scratch

Real optimiser steps on the CPU: alone, beside a save in the background, and a save that they wait
for, in turns. Prints Markdown; writes JSON with --output. ViT-B takes two to three minutes,
5 GB of memory and 3 GB of disk.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.command import parser_of, write_json

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: the other core is for the writer

import torch

from benchmarks.machine import processor
from timesformer.checkpoints import files
from timesformer.checkpoints.writer import CheckpointWriter
from timesformer.models.vit import TimeSformer

FRAMES = 8

State = dict[str, Any]


class Training:
    """A model, its optimiser, and steps with the writer's hook where the engine has it."""

    def __init__(self, size: int, **geometry: int) -> None:
        torch.manual_seed(0)
        self.model = TimeSformer(img_size=size, num_classes=400, num_frames=FRAMES, **geometry)
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        self.clips = torch.randn(1, 3, FRAMES, size, size)
        self.waited = 0.0  # seconds for copies, in all

    def state(self) -> State:
        return {
            "epoch": 0,
            "model_state": self.model.state_dict(),
            "optimizer_state": self.optimizer.state_dict(),
        }

    def steps(self, number: int, before_change: Callable[[], None]) -> None:
        for _ in range(number):
            self.model(self.clips).square().mean().backward()
            self.waited += timed(before_change)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--embed-dim", type=int, default=768)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--num-heads", type=int, default=12)
    parser.add_argument("--size", type=int, default=64, help="pixels of a clip's side")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument(
        "--folder", type=Path, help="where to write (the folder for temporary files)"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    training = Training(
        arguments.size,
        embed_dim=arguments.embed_dim,
        depth=arguments.depth,
        num_heads=arguments.num_heads,
    )
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        report = measure(training, Path(folder), arguments.repetitions)
    print(markdown(report))
    write_json(arguments.output, report)


def measure(training: Training, folder: Path, repetitions: int) -> dict[str, Any]:
    """Seconds of every repetition, all ways in turns, and what they come to."""
    path = files.epoch_path(str(folder), 1)
    with CheckpointWriter() as beside, CheckpointWriter(background=False) as blocking:
        ways = {
            "blocking save": lambda: blocking.save(training.state(), [path], {}),
            "torch.save": lambda: torch.save(training.state(), folder / "released.pyth"),
        }
        training.steps(2, beside.before_change)  # the optimiser has its moments from here on
        number = steps_of_a_save(training, ways["blocking save"])
        first = beside_a_save(training, beside, path, number)  # which allocates the copies' memory
        rows = [
            {
                **alone(training, number),
                **beside_a_save(training, beside, path, number),
                **{name: settled(way) for name, way in ways.items()},
            }
            for _ in range(repetitions)
        ]
    return {
        "machine": machine(),
        "parameters": sum(parameter.numel() for parameter in training.model.parameters()),
        "bytes": path.stat().st_size,
        "steps": number,
        "first_waited": first["waited"],
        "repetitions": rows,
        **summary(rows),
    }


def steps_of_a_save(training: Training, save: Callable[[], object]) -> int:
    """More than a save in the background can last."""
    one = timed(lambda: training.steps(1, lambda: None))
    return math.ceil(1.5 * settled(save) / one) + 1


def alone(training: Training, number: int) -> dict[str, float]:
    """Seconds of `number` steps, by the clock and of this thread's CPU time."""
    cpu = time.thread_time()
    seconds = timed(lambda: training.steps(number, lambda: None))
    return {"steps alone": seconds, "steps alone, CPU": time.thread_time() - cpu}


def beside_a_save(
    training: Training, writer: CheckpointWriter, path: Path, number: int
) -> dict[str, float]:
    """The same with a save at their start; and how long its two calls took, over all steps."""
    training.waited = 0.0
    cpu = time.thread_time()

    def save_and_step() -> None:
        training.waited += timed(lambda: writer.save(training.state(), [path], {}))
        training.steps(number, writer.before_change)

    seconds = timed(save_and_step)
    cpu = time.thread_time() - cpu
    writer.wait()
    return {
        "steps beside a save": seconds,
        "steps beside a save, CPU": cpu,
        "waited": training.waited,
    }


def settled(way: Callable[[], object]) -> float:
    """Seconds of `way`, with the disk at rest before and after."""
    os.sync()
    seconds = timed(way)
    os.sync()
    return seconds


def timed(way: Callable[[], object]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    """Medians over the repetitions, of seconds and of what is a share within each."""

    def median(of: Callable[[dict[str, float]], float]) -> float:
        return round(statistics.median(of(row) for row in rows), 4)

    def extra(row: dict[str, float], unit: str = "") -> float:
        return row[f"steps beside a save{unit}"] - row[f"steps alone{unit}"]

    return {
        "blocking_s": median(lambda row: row["blocking save"]),
        "torch_save_s": median(lambda row: row["torch.save"]),
        "steps_s": median(lambda row: row["steps alone"]),
        "extra_s": median(extra),
        "extra_cpu_s": median(lambda row: extra(row, ", CPU")),
        "waited_s": median(lambda row: row["waited"]),
        "extra_share": median(lambda row: extra(row) / row["blocking save"]),
        "waited_share": median(lambda row: row["waited"] / row["blocking save"]),
    }


def machine() -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def markdown(report: dict[str, Any]) -> str:
    """The table of docs/PERFORMANCE.md, and the line that counts."""
    number = report["steps"]
    rows = {
        "save that training waits for": report["blocking_s"],
        "torch.save as in the released code: no sync, no hash": report["torch_save_s"],
        f"{number} steps alone": report["steps_s"],
        "beside a save they take longer by": report["extra_s"],
        "of which their thread computed": report["extra_cpu_s"],
        "of which they waited for the writer": report["waited_s"],
        "the same in the first save, which allocates memory": report["first_waited"],
    }
    return "\n".join(
        [
            f"### {report['parameters'] / 1e6:.0f} M parameters, {report['bytes'] / 1e6:.0f} MB",
            "",
            "| | seconds |",
            "|---|---:|",
            *(f"| {name} | {seconds:.3f} |" for name, seconds in rows.items()),
            "",
            f"A save in the background holds training up by {report['extra_share']:.1%} of a "
            f"blocking save; {report['waited_share']:.1%} is waiting for it.",
        ]
    )


if __name__ == "__main__":
    main()
