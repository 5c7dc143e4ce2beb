"""A few real training steps under PyTorch's profiler, and what they show in ten lines."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function, schedule

from timesformer.distributed.process import Process
from timesformer.engine.build import build_training
from timesformer.engine.compiled import what_failed
from timesformer.engine.guards import exhausted
from timesformer.engine.step import Training, train_step
from timesformer.errors import UserError
from timesformer.logs import Silent, peak_memory_gb
from timesformer.optim.optimizers import set_lr
from timesformer.optim.schedules import lr_at
from timesformer.profiling.alone import check_alone, full_steps, synchronize
from timesformer.profiling.trace import (
    BACKWARD,
    FORWARD,
    PARTS,
    REST,
    WAITING,
    Copies,
    Summary,
    read_trace,
    summarize,
)
from timesformer.progress import progress
from timesformer.signals import StopSignals

LARGE = 20e6  # bytes, from which on a trace is compressed
LAUNCH_BOUND = 0.1  # a share of time
LONGEST_NAME = 60


@dataclass(frozen=True)
class Profile:
    """What was found. Speeds are in clips per second, with and without the profiler."""

    summary: Summary
    trace: Path
    device: str
    clips: int
    """Of one step."""
    speed: float
    peak_memory_gb: float

    @property
    def traced_speed(self) -> float:
        return self.clips / self.summary.seconds


def profile_training(cfg: CfgNode, *, warmup: int, steps: int) -> Profile:
    """Take steps of the run that `cfg` describes: `warmup` for nothing, `steps` with a clock, and
    as many under the profiler. Writes OUTPUT_DIR/profile/trace.json, or .json.gz, and nothing else.

    The weights are random ones, which take as long as others.

    Raises:
        UserError: the run is one of several processes, or none that trains; or it cannot start.
    """
    check(cfg, warmup, steps)
    folder = make_folder(cfg)
    try:
        run = build_training(cfg, Process(), Silent(), StopSignals())
        return profile_run(run, warmup=warmup, steps=steps, folder=folder)
    except (OSError, RuntimeError) as error:
        if sentence := exhausted(error) or what_failed(error):
            raise UserError(sentence) from error
        raise


def check(cfg: CfgNode, warmup: int, steps: int) -> None:
    if steps < 1 or warmup < 0:
        raise UserError(f"--steps is {steps} and --warmup {warmup}: use at least 1 and 0.")
    if not cfg.TRAIN.ENABLE:
        raise UserError("TRAIN.ENABLE is False: there is no training to profile.")
    check_alone(cfg)


def make_folder(cfg: CfgNode) -> Path:
    folder = Path(cfg.OUTPUT_DIR, "profile")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"OUTPUT_DIR: {folder} cannot be made ({error}).") from error
    return folder


def profile_run(run: Training, *, warmup: int, steps: int, folder: Path) -> Profile:
    """The same for a run that has been built."""
    device = run.runtime.device
    set_lr(run.state.optimizer, lr_at(0, run.cfg))
    run.model.train()
    sizes = full_steps(run)
    take(run, sizes, warmup)
    started = time.perf_counter()
    clips = take(run, sizes, steps)
    seconds = time.perf_counter() - started
    trace = traced(run, sizes, steps, folder / "trace.json")
    return Profile(
        summary=summarize(read_trace(trace)),
        trace=compressed_if_large(trace),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU",
        clips=clips // steps,
        speed=clips / seconds,
        peak_memory_gb=peak_memory_gb(device),
    )


def take(run: Training, sizes: Iterator[int], number: int) -> int:
    """Take `number` steps and wait until the device has done them; returns their clips."""
    clips = 0
    with progress(number, "steps", "step") as bar:
        for size in islice(sizes, number):
            train_step(run, size)
            clips += size * run.cfg.AUG.NUM_SAMPLE
            bar.update()
    synchronize(run.runtime.device)
    return clips


def traced(run: Training, sizes: Iterator[int], steps: int, path: Path) -> Path:
    """Take a step with which the profiler warms up, and `steps` that it writes to `path`."""
    activities = [ProfilerActivity.CPU]
    if run.runtime.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with (
        named_parts(run),
        profile(
            activities=activities,
            schedule=schedule(wait=0, warmup=1, active=steps, repeat=1),
            on_trace_ready=lambda profiler: profiler.export_chrome_trace(str(path)),
        ) as profiler,
    ):
        take(run, sizes, 1)  # whose work must not be in the way of the first that counts
        profiler.step()
        for size in islice(sizes, steps):
            train_step(run, size)
            profiler.step()
    return path


@contextmanager
def named_parts(run: Training) -> Iterator[None]:
    """Inside, a trace names the parts of a step that PyTorch has no names for."""
    model = run.model
    run.model = NamedForward(model)
    try:
        with named(run.feed, "next", WAITING), named(Tensor, "backward", BACKWARD):
            yield
    finally:
        run.model = model


class NamedForward(nn.Module):
    """`model`, whose calls have a name in a trace."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: Tensor) -> Tensor:
        with record_function(FORWARD):
            return self.model(clips)


@contextmanager
def named(owner: Any, method: str, name: str) -> Iterator[None]:
    """Inside, the calls of this method have a name in a trace."""
    original = getattr(owner, method)

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        with record_function(name):
            return original(*args, **kwargs)

    setattr(owner, method, call)
    try:
        yield
    finally:
        setattr(owner, method, original)


def compressed_if_large(trace: Path, limit: float = LARGE) -> Path:
    """`trace`, or what it has become; of a former profile, the other one goes."""
    packed = trace.with_name(f"{trace.name}.gz")
    packed.unlink(missing_ok=True)
    if trace.stat().st_size <= limit:
        return trace
    packed.write_bytes(gzip.compress(trace.read_bytes(), 6))
    trace.unlink()
    return packed


def text(found: Profile) -> str:
    """Ten lines."""
    summary = found.summary
    rows = {
        "speed": f"{found.speed:.1f} clips/s ({found.traced_speed:.1f} under the profiler): "
        f"{summary.steps} steps of {found.clips} clips on {found.device}",
        "host": parts(summary.host),
        **device_lines(summary),
        "calls": calls_line(summary),
        "waits": waits_line(summary),
        "memory": f"{found.peak_memory_gb:.2f} GB at the peak",
        "trace": f"{found.trace}, for https://ui.perfetto.dev",
    }
    return "\n".join(f"{name:<8}{words}" for name, words in rows.items())


def parts(shares: dict[str, float]) -> str:
    return ", ".join(f"{part} {shares[part]:.0%}" for part in (*PARTS, REST))


def device_lines(summary: Summary) -> dict[str, str]:
    """What a GPU did, and the costliest kernels or operators."""
    if summary.device is None:
        return top_lines(summary, 4)
    work = ", ".join(f"{part} {summary.device[part]:.0%}" for part in (*PARTS[1:], REST))
    return {"device": f"busy {summary.busy:.0%} of the time: {work}", **top_lines(summary, 3)}


def top_lines(summary: Summary, number: int) -> dict[str, str]:
    return {
        f"top {place}": f"{row.share:.0%} {shortened(row.name)}, {row.calls:.0f} a step"
        for place, row in enumerate(summary.top[:number], start=1)
    }


def shortened(name: str) -> str:
    name = name.removeprefix("void ")
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 2]} …"


def calls_line(summary: Summary) -> str:
    kind = "operators" if summary.device is None else "kernels"
    line = f"{summary.calls:.0f} {kind} a step, {summary.microseconds:.0f} µs each"
    if summary.unexplained_idle > LAUNCH_BOUND:
        idle = f"{summary.unexplained_idle:.0%}"
        return f"{line}; launch-bound: the device idles {idle} of the time though data is there"
    return line if summary.device is None else f"{line}; not launch-bound"


def waits_line(summary: Summary) -> str:
    if summary.device is None:
        return f"{summary.waits:.1f} numbers read from tensors a step: on a GPU, one is waited for"
    return (
        f"{summary.waits:.1f} for the device a step; copies to it {amount(summary.to_device)}, "
        f"back {amount(summary.to_host)}"
    )


def amount(copied: Copies) -> str:
    return f"{copied.number:.1f} ({copied.bytes / 1e6:.2f} MB)"
