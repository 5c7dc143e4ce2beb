"""Time several ways of doing the same, in turns, so that a busy machine disturbs all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Seconds of each repetition: `cpu` of this process and its threads, `wall` of the clock."""

    cpu: list[float]
    wall: list[float]

    @property
    def cpu_ms(self) -> float:
        """Median."""
        return statistics.median(self.cpu) * 1e3

    @property
    def wall_ms(self) -> float:
        """Median."""
        return statistics.median(self.wall) * 1e3

    def over(self, other: Times) -> float:
        """Median over the repetitions of this CPU time as a multiple of the `other`."""
        return statistics.median(a / b for a, b in zip(self.cpu, other.cpu, strict=True))


def in_turns(ways: Mapping[str, Callable[[int], object]], repetitions: int) -> dict[str, Times]:
    """Time every way `repetitions` times, each time right after a call that is not timed.

    So every way finds the caches and the heap that it left itself, as it would in a worker process,
    which does the same all day; and not those of its neighbour in the table.

    Args:
        ways: name and function, which is given the number of the repetition.
        repetitions: how often each is timed.
    """
    times = {name: Times([], []) for name in ways}
    for repetition in range(repetitions):
        for name, do in ways.items():
            do((repetition - 1) % repetitions)
            cpu, wall = time.process_time(), time.perf_counter()
            do(repetition)
            times[name].cpu.append(time.process_time() - cpu)
            times[name].wall.append(time.perf_counter() - wall)
    return times
