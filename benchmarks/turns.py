"""One case of `benchmarks.model`: all its ways built, found to agree, timed in turns."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.agreement import Expected, difference, expectations
from benchmarks.cases import Case, Way
from benchmarks.ceiling import Ceiling, ceiling, seconds_of
from benchmarks.measure import Times, in_turns
from benchmarks.peers import OURS, is_installed, make
from benchmarks.steps import (
    TASKS,
    Step,
    compiling,
    executed_flops,
    peak_bytes,
    runs_alone,
    wait_for,
)
from timesformer.profiling.cost import expected

TIMED_SECONDS = {"cpu": 0.0, "cuda": 0.1}
"""Calls are repeated for as long, so that waiting for a GPU to end is a small part."""
ROOM = 0.8  # share of a GPU's free memory to be used
OUT_OF_MEMORY = "out of memory"

Seconds = dict[str, list[float]]
"""Of a call, by the way's name, one for each repetition."""


@dataclass
class Entry:
    """A way that could be built, and what was found out about it before it is timed."""

    way: Way
    step: Step
    facts: dict[str, Any]


def measure(
    case: Case, device: torch.device, repetitions: int, batch: int | None
) -> tuple[dict[str, Any], Step | None]:
    """What the report says of a case, and our quickest step, ready to be run again."""
    batch = batch or case.batch or fitting_batch(case, device)
    pixels = clips_of(case, batch, device)
    entries, failed = built(case, pixels)
    tokens, work = size_of(case)
    names = {entry.way.precision for entry in entries}
    width = case.width
    limits = {name: ceiling(batch * tokens, width, name, device) for name in sorted(names)}
    seconds = timed(entries, limits, repetitions, device)
    ways = {e.way.name: e.facts | speed(e, limits, seconds, batch, work) for e in entries}
    own = [entry for entry in entries if entry.way.who == OURS]
    quickest = min(own, key=lambda e: ways[e.way.name]["ms"], default=None)
    result = {
        **{name: getattr(case, name) for name in ("model", "scheme", "task")},
        "clip": list(pixels.shape[1:]),
        "batch": batch,
        "flops_of_a_clip": work,
        "limits": {name: described(limits[name], seconds[limit_name(name)]) for name in limits},
        "ways": ways,
        "times_as_fast": ratios(seconds, list(ways)),
        "quickest": quickest.way.name if quickest else None,
        "failed": failed,
    }
    return result, quickest.step if quickest else None


def clips_of(case: Case, batch: int, device: torch.device) -> Tensor:
    """uint8 (B, 3, T, H, W), the same in every call."""
    frames, side = case.geometry["num_frames"], case.geometry["img_size"]
    generator = torch.Generator().manual_seed(1)
    shape = (batch, 3, frames, side, side)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator).to(device)


def size_of(case: Case) -> tuple[int, int]:
    """Tokens of a clip, and the operations (two for a multiply-add) of its matrix products.

    As papers count: what is saved in the last block counts as done. A step of
    training counts as three forward passes.
    """
    frames, side = case.geometry["num_frames"], case.geometry["img_size"]
    with torch.device("meta"):
        tokens, _, products = expected(make(OURS, case.geometry), (3, frames, side, side))
    assert tokens is not None
    assert products is not None
    return tokens, 2 * products * (3 if case.task == "training" else 1)


def built(case: Case, pixels: Tensor) -> tuple[list[Entry], dict[str, str]]:
    """The ways that run, after their first calls; and why the others do not.

    Raises:
        AssertionError: outputs are not what they should be.
    """
    entries, failed = [], {}
    right, missing = expectations(case, pixels)
    for way in case.ways:
        if way.who in missing:
            failed[way.name] = missing[way.who]
            continue
        try:
            entries.append(entry_of(case, way, pixels, right[way.who]))
        except torch.OutOfMemoryError:
            failed[way.name] = OUT_OF_MEMORY
            torch.cuda.empty_cache()
        except RuntimeError as error:  # also what the compiler raises
            if way.who == OURS:
                raise
            failed[way.name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return entries, failed


def entry_of(case: Case, way: Way, pixels: Tensor, right: Expected) -> Entry:
    device = pixels.device
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    network = make(way.who, case.geometry).to(device)
    step = TASKS[case.task](network, way.how, way.precision, pixels)
    with compiling(way.how):
        outcome = step()
    facts = {
        "who": way.who,
        "how": way.how,
        "precision": way.precision,
        "difference": difference(outcome, right, way),
        "executed_flops": executed_flops(
            partial(make, way.who, case.geometry), way.how, case.task, pixels.shape[1:]
        ),
    }
    del outcome
    step()  # the first step of training makes the optimiser's state
    facts["peak_bytes"] = peak_bytes(step, device, before)
    return Entry(way, step, facts)


def timed(
    entries: list[Entry], limits: Mapping[str, Ceiling], repetitions: int, device: torch.device
) -> Seconds:
    """Of one call, for every way and for the matrix products that are its limit, in turns."""
    calls: dict[str, Callable[[], object]] = {entry.way.name: entry.step for entry in entries}
    calls |= {limit_name(precision): limit.run for precision, limit in limits.items()}
    counts = {name: count_of(call, device) for name, call in calls.items()}
    runs = {name: partial(repeated, calls[name], counts[name], device) for name in calls}
    return {
        name: [seconds / counts[name] for seconds in clock(times, device)]
        for name, times in in_turns(runs, repetitions).items()
    }


def count_of(call: Callable[[], object], device: torch.device) -> int:
    """How many calls are timed as one."""
    least = TIMED_SECONDS[device.type]
    return math.ceil(least / seconds_of(call, device, calls=1)) if least else 1


def repeated(call: Callable[[], object], count: int, device: torch.device, repetition: int) -> None:
    for _ in range(count):
        call()
    wait_for(device)


def clock(times: Times, device: torch.device) -> list[float]:
    return times.cpu if runs_alone(device) else times.wall


def speed(
    entry: Entry, limits: Mapping[str, Ceiling], seconds: Seconds, batch: int, work: int
) -> dict[str, float]:
    """Of a way: what is read off its seconds."""
    own, precision = seconds[entry.way.name], entry.way.precision
    limit, its = limits[precision], seconds[limit_name(precision)]

    def utilisation(operations: int) -> float:
        pairs = zip(own, its, strict=True)
        rates = [(batch * operations / mine) / (limit.flops / best) for mine, best in pairs]
        return statistics.median(rates)

    median = statistics.median(own)
    return {
        "ms": 1e3 * median,
        "clips_per_s": batch / median,
        "tflops": batch * work / median / 1e12,
        "utilisation": utilisation(work),
        "executed_utilisation": utilisation(entry.facts["executed_flops"]),
    }


def described(limit: Ceiling, seconds: list[float]) -> dict[str, Any]:
    tflops = limit.flops / statistics.median(seconds) / 1e12
    return {"matrices": list(limit.shape), "tflops": tflops}


def limit_name(precision: str) -> str:
    return f"matrix product, {precision}"


def ratios(seconds: Seconds, names: list[str]) -> dict[str, dict[str, float]]:
    """[a][b]: how many times as fast a is as b, the median of the repetitions' ratios."""
    return {
        a: {
            b: statistics.median(y / x for x, y in zip(seconds[a], seconds[b], strict=True))
            for b in names
        }
        for a in names
    }


def fitting_batch(case: Case, device: torch.device) -> int:
    """The largest power of two, up to the case's `most`, with which its greediest way fits.

    That is float32 of whoever keeps the most; each way's weights stay beside it.
    """
    if device.type == "cpu":
        return 1
    ways = [way for way in case.ways if is_installed(way.who)]
    greedy = max(ways, key=lambda way: (way.who != OURS, way.precision == "fp32"))
    try:
        one, two = (eager_bytes(case, greedy, batch, device) for batch in (1, 2))
    except torch.OutOfMemoryError:
        return 1
    resident = len(ways) * (2 * one - two)
    free, _ = torch.cuda.mem_get_info(device)
    fitting = int((ROOM * free - resident) / max(two - one, 1))
    return 2 ** int(math.log2(min(max(fitting, 1), case.most)))


def eager_bytes(case: Case, way: Way, batch: int, device: torch.device) -> int:
    before = torch.cuda.memory_allocated(device)
    network = make(way.who, case.geometry).to(device)
    step = TASKS[case.task](network, "eager", way.precision, clips_of(case, batch, device))
    step()
    return peak_bytes(step, device, before)


def profile_of(step: Step, device: torch.device) -> str:
    """A table of where the time of some steps goes, by operator or kernel."""
    kinds = torch.profiler.ProfilerActivity
    on_gpu = device.type == "cuda"
    with torch.profiler.profile(activities=[kinds.CPU, *([kinds.CUDA] if on_gpu else [])]) as seen:
        for _ in range(3 if on_gpu else 1):
            step()
        wait_for(device)
    order = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    return seen.key_averages().table(sort_by=order, row_limit=20, max_name_column_width=60)
