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
    """Time every way `repetitions` times, after one that is not timed.

    Args:
        ways: name and function, which is given the number of the repetition.
        repetitions: how often each is timed.
    """
    times = {name: Times([], []) for name in ways}
    for repetition in range(-1, repetitions):
        for name, do in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            do(max(repetition, 0))
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if repetition >= 0:
                times[name].cpu.append(cpu)
                times[name].wall.append(wall)
    return times
