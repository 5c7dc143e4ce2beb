"""How fast this machine multiplies matrices of the sizes that a model has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from benchmarks.steps import runs_alone, set_arithmetic, wait_for
from timesformer.engine.prepare import AUTOCAST

MOST_ROWS = {"cpu": 2048, "cuda": 65536}
"""More change nothing but the time it takes."""


@dataclass(frozen=True)
class Ceiling:
    """The quickest matrix product of a model, as something that can be timed."""

    shape: tuple[int, int, int]
    """Rows, width of the input, width of the output."""
    run: Callable[[], object]

    @property
    def flops(self) -> int:
        rows, width, outputs = self.shape
        return 2 * rows * width * outputs


def ceiling(tokens: int, width: int, precision: str, device: torch.device) -> Ceiling:
    """The quickest of a block's four linear layers over `tokens` tokens, in `precision`."""
    rows = min(tokens, MOST_ROWS[device.type])
    shapes = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    products = [product((rows, *shape), precision, device) for shape in shapes]
    return max(products, key=lambda each: each.flops / seconds_of(each.run, device))


def product(shape: tuple[int, int, int], precision: str, device: torch.device) -> Ceiling:
    rows, width, outputs = shape
    dtype = AUTOCAST.get(precision, torch.float32)
    inputs = torch.randn(rows, width, device=device, dtype=dtype)
    weight = torch.randn(outputs, width, device=device, dtype=dtype)

    def run() -> object:
        set_arithmetic(precision)
        return F.linear(inputs, weight)

    return Ceiling(shape, run)


def seconds_of(run: Callable[[], object], device: torch.device, calls: int = 3) -> float:
    """Of one call, the best of some, after one that does not count."""
    run()
    return min(clocked(run, device) for _ in range(calls))


def clocked(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call; of CPU time where one thread does everything (`runs_alone`)."""
    clock = time.process_time if runs_alone(device) else time.perf_counter
    wait_for(device)
    start = clock()
    run()
    wait_for(device)
    return clock() - start
