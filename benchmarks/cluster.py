"""What a step takes on GPUs that are not here: a calculation, whose every figure can be given.

The formulas and what they leave out: docs/SCALING.md. Bytes are those that one process sends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from timesformer.distributed.sharding import dimension_to_cut

FLOAT32, BFLOAT16 = 4, 2
BUCKET = 25 * 2**20  # bytes of gradients that DistributedDataParallel sends at a time
BACKWARD = 2 / 3  # of the time of a pass; 3/4 with activation checkpointing
NCCL_SUMS, GLOO_SUMS = 1, 2
"""How often gradients go around to be summed into shares: gloo gives all of the sum to all."""


@dataclass(frozen=True)
class Work:
    """What a process does in one optimiser step.

    Args:
        parameters: shapes of the model's parameters outside of its blocks, and of one block.
        depth: blocks.
        seconds: of computing one pass, forward and backward.
        passes: of a step.
        backward: share of `seconds` that is the backward pass.
        parameter_bytes: of a number, where FSDP gathers parameters: 2 with TRAIN.PRECISION bf16.
        gradient_bytes: of a number, where gradients are exchanged: always float32 here.
    """

    parameters: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]
    depth: int
    seconds: float
    passes: int = 1
    backward: float = BACKWARD
    parameter_bytes: int = FLOAT32
    gradient_bytes: int = FLOAT32


@dataclass(frozen=True)
class Network:
    """Bandwidths in bytes a second, in one direction; latencies in seconds.

    Args:
        gpus: of a node.
        inside: of one GPU to the others of its node.
        between: of a node to the others, all its interfaces together.
        latency_inside, latency_between: of one message.
        overlap: share of a pass's computing beside which an exchange can go on.
    """

    gpus: int = 8
    inside: float = 350e9
    between: float = 320e9
    latency_inside: float = 3e-6
    latency_between: float = 15e-6
    overlap: float = 0.9

    def bandwidth(self, processes: int) -> float:
        """Of a ring through all processes: its slowest part."""
        return self.inside if processes <= self.gpus else min(self.inside, self.between)

    def latency(self, processes: int) -> float:
        """Of once around: a ring within nodes, a tree of the nodes."""
        nodes = math.ceil(processes / self.gpus)
        ring = (min(processes, self.gpus) - 1) * self.latency_inside
        return ring + math.ceil(math.log2(nodes)) * self.latency_between


def share(processes: int) -> float:
    """What a process sends of a tensor that goes once around a ring."""
    return (processes - 1) / processes


def numel(shapes: Sequence[Sequence[int]]) -> int:
    return sum(math.prod(shape) for shape in shapes)


def padded(shapes: Sequence[Sequence[int]], processes: int) -> int:
    """Numbers that travel where FSDP gathers these parameters: shares are made equally large."""
    return sum(padded_numel(shape, processes) for shape in shapes)


def padded_numel(shape: Sequence[int], processes: int) -> int:
    if dimension_to_cut(shape, processes) > 0:
        return math.prod(shape)
    first, rest = shape[0] if shape else 1, math.prod(shape[1:])
    return math.ceil(first / processes) * processes * rest


def ddp_bytes(work: Work, processes: int) -> float:
    """Of a step, however many passes it has: gradients go around twice, summed and then shared."""
    outside, block = work.parameters
    numbers = numel(outside) + work.depth * numel(block)
    return 2 * share(processes) * numbers * work.gradient_bytes


def fsdp_bytes(work: Work, processes: int, sums: int = NCCL_SUMS) -> float:
    """Of a step. In each pass parameters are gathered for the forward, those of the blocks again
    for the backward, and gradients are summed into shares, for which they go around `sums` times.
    """
    outside = padded(work.parameters[0], processes)
    blocks = work.depth * padded(work.parameters[1], processes)
    gathered = (outside + 2 * blocks) * work.parameter_bytes
    summed = sums * (outside + blocks) * work.gradient_bytes
    return work.passes * share(processes) * (gathered + summed)


def ddp_seconds(work: Work, processes: int, network: Network) -> float:
    """Of a step. What cannot be hidden: all that the last pass's backward is too short for, and at
    least the last bucket, whose gradients come at its end.
    """
    computing = work.passes * work.seconds
    if processes == 1:
        return computing
    sent = ddp_bytes(work, processes)
    buckets = max(1, math.ceil(sent / (2 * share(processes)) / BUCKET))
    exchange = sent / network.bandwidth(processes)
    exchange += 2 * buckets * network.latency(processes)
    hidden = network.overlap * work.backward * work.seconds
    return computing + max(exchange / buckets, exchange - hidden)


def fsdp_seconds(work: Work, processes: int, network: Network) -> float:
    """Of a step. In each pass at least the first gathering and the last summing are not hidden."""
    if processes == 1:
        return work.passes * work.seconds
    outside, block = (padded(shapes, processes) for shapes in work.parameters)

    def once(numbers: float, size: int) -> float:
        sent = share(processes) * numbers * size
        return sent / network.bandwidth(processes) + network.latency(processes)

    gather_outside, gather = (once(n, work.parameter_bytes) for n in (outside, block))
    sum_outside, sum_block = (once(n, work.gradient_bytes) for n in (outside, block))
    forward = gather_outside + work.depth * gather
    backward = work.depth * (gather + sum_block) + sum_outside
    hidden = network.overlap * work.seconds
    exposed = max(gather_outside, forward - (1 - work.backward) * hidden)
    exposed += max(sum_outside, backward - work.backward * hidden)
    return work.passes * (work.seconds + exposed)


def efficiency(seconds: float, work: Work) -> float:
    """The share of a step in which is computed: speed over that of as many single processes."""
    return work.passes * work.seconds / seconds
