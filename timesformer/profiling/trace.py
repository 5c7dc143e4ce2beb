"""What a trace of training steps says: where the time goes, on the host and on the device.

A trace is what `torch.profiler` writes, in the format of Chrome and Perfetto. Nothing here needs
torch: a trace made on one machine may be read on another.
"""

from __future__ import annotations

import gzip
import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

WAITING, FORWARD, BACKWARD, OPTIMIZER, REST = (
    "waiting for data",
    "forward",
    "backward",
    "optimiser",
    "rest",
)
PARTS = (WAITING, FORWARD, BACKWARD, OPTIMIZER)
"""Of a step. The first three are names in the trace; the fourth has the optimiser's own."""

STEP, OWN_NAME_OF_OPTIMIZER = "ProfilerStep#", "Optimizer."
ON_DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")
LAUNCHES = ("cuda_runtime", "cuda_driver")


class Event(NamedTuple):
    """Something that took time; in microseconds."""

    category: str
    name: str
    thread: tuple[Any, Any]
    start: float
    end: float
    args: dict[str, Any]

    @property
    def duration(self) -> float:
        return self.end - self.start


class Row(NamedTuple):
    """A kernel or an operator: its share of the time, without what it called; calls of a step."""

    name: str
    share: float
    calls: float


class Copies(NamedTuple):
    """Of a step, in one direction."""

    number: float
    bytes: float


@dataclass(frozen=True)
class Summary:
    """Of the traced steps. Shares are of their time, which ends when the device has finished."""

    steps: int
    seconds: float
    """Of one step."""
    host: dict[str, float]
    """The share of each part, and of the rest, in the time of the thread that trains."""
    device: dict[str, float] | None
    """The share in which a GPU worked on what each part asked for; None without a GPU."""
    busy: float | None
    """The share in which the GPU worked on anything."""
    top: list[Row]
    """Kernels, or without a GPU operators, the costliest first."""
    calls: float
    """Kernels, or operators that call no others, in a step."""
    microseconds: float
    """Mean of these."""
    to_device: Copies
    to_host: Copies
    waits: float
    """How often in a step the host waited for the device, or read a number from a tensor."""

    @property
    def unexplained_idle(self) -> float:
        """The share in which a GPU did nothing and no data was awaited: too slow a launching."""
        return 0.0 if self.busy is None else max(0.0, 1 - self.busy - self.host[WAITING])


def read_trace(path: Path) -> list[Event]:
    """The events of a trace that have a duration; `path` may end in .gz."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [
        Event(
            event["cat"],
            event["name"],
            (event["pid"], event["tid"]),
            float(event["ts"]),
            float(event["ts"]) + float(event["dur"]),
            event.get("args", {}),
        )
        for event in json.loads(data)["traceEvents"]
        if event.get("ph") == "X"
    ]


def summarize(events: Sequence[Event]) -> Summary:
    """What became of the time between the start of the first step and the end of the last."""
    steps = [e for e in events if e.category == "user_annotation" and e.name.startswith(STEP)]
    start, end = min(e.start for e in steps), max(e.end for e in steps)
    on_host = [e for e in events if start <= e.start < end and e.category not in ON_DEVICE]
    parts = sorted((e.start, e.end, part) for e in on_host if (part := part_of(e)))
    launched = launch_times(on_host)
    work = [e for e in events if e.category in ON_DEVICE and e.args.get("correlation") in launched]
    window = max([end, *(e.end for e in work)]) - start
    kernels = [e for e in work if e.category == "kernel"]
    costs = kernel_costs(kernels) if kernels else operator_costs(on_host)
    calls = kernels or leaves(on_host)
    return Summary(
        steps=len(steps),
        seconds=window / len(steps) / 1e6,
        host=with_rest(shares([(part, last - first) for first, last, part in parts], window)),
        device=shares(by_part(work, launched, parts), window) if work else None,
        busy=covered(work) / window if work else None,
        top=ranking(costs, window, len(steps)),
        calls=len(calls) / len(steps),
        microseconds=sum(e.duration for e in calls) / max(1, len(calls)),
        to_device=copies(work, "HtoD", len(steps)),
        to_host=copies(work, "DtoH", len(steps)),
        waits=len(device_waits(on_host) if work else numbers_read(on_host, parts)) / len(steps),
    )


def part_of(event: Event) -> str | None:
    """The part of a step that `event` is, if it is one."""
    if event.category != "user_annotation":
        return None
    if event.name.startswith(OWN_NAME_OF_OPTIMIZER):
        return OPTIMIZER
    return event.name if event.name in PARTS else None


def launch_times(on_host: Iterable[Event]) -> dict[Any, float]:
    """When the host asked for a piece of the device's work, by the number that both carry."""
    return {
        e.args["correlation"]: e.start
        for e in on_host
        if e.category in LAUNCHES and "correlation" in e.args
    }


def by_part(
    work: Iterable[Event], launched: dict[Any, float], parts: Sequence[tuple[float, float, str]]
) -> list[tuple[str, float]]:
    """The part of a step in which each piece of the device's work was asked for, and how long it
    took. In whichever thread: the one that trains waits for the others meanwhile.
    """
    starts = [start for start, _, _ in parts]

    def part_at(time: float) -> str:
        place = bisect_right(starts, time) - 1
        return parts[place][2] if place >= 0 and time < parts[place][1] else REST

    return [(part_at(launched[e.args["correlation"]]), e.duration) for e in work]


def shares(durations: Iterable[tuple[str, float]], window: float) -> dict[str, float]:
    sums = dict.fromkeys((*PARTS, REST), 0.0)
    for part, duration in durations:
        sums[part] += duration / window
    return sums


def with_rest(parts: dict[str, float]) -> dict[str, float]:
    """What has no name is the rest of the host's time."""
    return parts | {REST: max(0.0, 1 - sum(parts.values()))}


def covered(events: Iterable[Event]) -> float:
    """How long at least one of `events` was going on."""
    total, until = 0.0, float("-inf")
    for event in sorted(events, key=lambda e: e.start):
        total += max(0.0, event.end - max(event.start, until))
        until = max(until, event.end)
    return total


def kernel_costs(kernels: Iterable[Event]) -> list[tuple[str, float]]:
    return [(kernel.name, kernel.duration) for kernel in kernels]


def operator_costs(on_host: Iterable[Event]) -> list[tuple[str, float]]:
    """Name and time of every operator, without the time of the operators that it called."""
    return [(event.name, own) for event, own, _ in nested(on_host)]


def leaves(on_host: Iterable[Event]) -> list[Event]:
    """Operators that call no others."""
    return [event for event, _, is_leaf in nested(on_host) if is_leaf]


def nested(on_host: Iterable[Event]) -> list[tuple[Event, float, bool]]:
    """Every operator, the time it did not pass on to others, and whether it called none."""
    threads: dict[Any, list[Event]] = defaultdict(list)
    for event in on_host:
        if event.category == "cpu_op":
            threads[event.thread].append(event)
    rows: list[list[Any]] = []
    for own in threads.values():
        open_: list[list[Any]] = []
        for event in sorted(own, key=lambda e: (e.start, -e.end)):
            while open_ and open_[-1][0].end <= event.start:
                open_.pop()
            if open_:
                open_[-1][1] -= event.duration
                open_[-1][2] = False
            open_.append([event, event.duration, True])
            rows.append(open_[-1])
    return [(event, own_time, is_leaf) for event, own_time, is_leaf in rows]


def ranking(costs: Iterable[tuple[str, float]], window: float, steps: int) -> list[Row]:
    durations: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for name, duration in costs:
        durations[name] += duration  # type: ignore[assignment]  # a Counter adds any numbers
        calls[name] += 1
    return [
        Row(name, duration / window, calls[name] / steps)
        for name, duration in durations.most_common()
    ]


def copies(work: Iterable[Event], direction: str, steps: int) -> Copies:
    found = [e for e in work if e.category == "gpu_memcpy" and direction in e.name]
    return Copies(len(found) / steps, sum(e.args.get("bytes", 0) for e in found) / steps)


def device_waits(on_host: Iterable[Event]) -> list[Event]:
    """Calls of CUDA that return when the device has done something."""
    return [
        e
        for e in on_host
        if e.category in LAUNCHES and ("Synchronize" in e.name or e.name == "cudaMemcpy")
    ]


def numbers_read(
    on_host: Iterable[Event], parts: Sequence[tuple[float, float, str]]
) -> list[Event]:
    """Numbers read from tensors: what would wait for a GPU, if there were one.

    Not those of the optimiser, which on a CPU reads its own counters.
    """
    reads = [e for e in on_host if e.name == "aten::_local_scalar_dense"]
    own = [(start, end) for start, end, part in parts if part == OPTIMIZER]
    return [e for e in reads if not any(start <= e.start < end for start, end in own)]
