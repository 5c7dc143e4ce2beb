"""Which way of computing attention is the quickest, for each of the shapes a TimeSformer has?

    python -m benchmarks.attention                              # the GPU if there is one
    python -m benchmarks.attention --device cpu --batch 1 --output results.json

Heads of base-16: 12 of 64. Each way is given queries, keys and values as the network has them,
strides and all, and gives back (B, S, heads, d): what it has to copy is timed with it. Forward,
and forward with backward. Prints Markdown; writes JSON with --output. One to two minutes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from benchmarks.command import parser_of, write_json
from benchmarks.machine import chosen_device, facts, words
from benchmarks.measure import in_turns
from timesformer.models.layers import GPU_TILE, in_a_row, largest_divisor, same_sequence

HEADS, HEAD_DIM = 12, 64
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Shape(NamedTuple):
    """Sequences of one attention of one clip, of `length` tokens; side by side in `groups`."""

    name: str
    number: int
    length: int
    groups: int = 1


SHAPES = (
    Shape("time, 8 frames", 197, 8),
    Shape("time, 16 frames of 448 pixels", 785, 16),
    Shape("time, 96 frames", 197, 96),
    Shape("space, 8 frames of 224 pixels", 1, 197, groups=8),
    Shape("space, 16 frames of 448 pixels", 1, 785, groups=16),
    Shape("joint, 8 frames of 224 pixels", 1, 1569),
)

Parts = tuple[Tensor, Tensor, Tensor]
Way = Callable[[Parts], Tensor]


def parts_of(shape: Shape, batch: int, device: torch.device, dtype: torch.dtype) -> Parts:
    """Queries, keys, values (B, S, heads, d): views into what the layer qkv gives."""
    torch.manual_seed(0)
    size = (batch * shape.number, shape.length)
    if shape.groups == 1:
        packed = torch.randn(*size, 3, HEADS, HEAD_DIM, device=device, dtype=dtype)
        return packed.requires_grad_().unbind(2)
    heads = shape.groups * HEADS
    packed = torch.randn(*size, heads, 3, HEAD_DIM, device=device, dtype=dtype)
    return packed.requires_grad_().unbind(3)


def fused(parts: Parts, mask: Tensor | None = None) -> Tensor:
    queries, keys, values = (part.transpose(1, 2) for part in parts)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask).transpose(1, 2)


def with_backend(parts: Parts, backend: SDPBackend) -> Tensor:
    with sdpa_kernel(backend):
        return fused(parts)


def matrix_products(parts: Parts) -> Tensor:
    queries, keys, values = (part.transpose(1, 2) for part in parts)
    scores = (queries * HEAD_DIM**-0.5) @ keys.transpose(-1, -2)
    return (scores.softmax(dim=-1) @ values).transpose(1, 2)


def row_with_mask(parts: Parts, packed: int) -> Tensor:
    """As many short sequences as fit into a tile, kept apart by a mask."""
    shape = parts[0].shape
    mask = same_sequence(packed, shape[1], parts[0].device)
    queries, keys, values = (in_a_row(part, packed) for part in parts)
    return fused((queries, keys, values), mask).reshape(shape)


def flexible(parts: Parts, packed: int, compiled: Callable[..., Tensor], mask: Any) -> Tensor:
    """The same with FlexAttention."""
    shape = parts[0].shape
    queries, keys, values = (in_a_row(part, packed).transpose(1, 2) for part in parts)
    return compiled(queries, keys, values, block_mask=mask).transpose(1, 2).reshape(shape)


def ways_of(shape: Shape, batch: int, device: torch.device) -> dict[str, Way]:
    """Those that there are for `shape` on `device`, by name; the first is right."""
    ways: dict[str, Way] = {"fused": fused, "matrix products": matrix_products}
    packed = largest_divisor(batch * shape.number, GPU_TILE // shape.length)
    if packed > 1:
        ways["fused, in a row"] = partial(row_with_mask, packed=packed)
    if device.type != "cuda":
        return ways
    for backend in ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION"):
        name = f"fused, {backend.lower().replace('_attention', '')}"
        ways[name] = partial(with_backend, backend=getattr(SDPBackend, backend))
    if packed > 1:
        length = shape.length

        def apart(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return query // length == key // length

        row = packed * length
        mask = create_block_mask(apart, None, None, row, row, device=str(device))
        compiled = torch.compile(flex_attention, dynamic=False)
        ways["FlexAttention"] = partial(flexible, packed=packed, compiled=compiled, mask=mask)
    return ways


def step(way: Way, parts: Parts, backward: bool) -> None:
    outcome = way(parts)
    if backward:
        torch.autograd.grad(outcome, parts, outcome)


def timed(call: Callable[[], None], device: torch.device, repetition: int) -> None:
    """Ten calls on a GPU, where a single one would be mostly waiting for it."""
    for _ in range(10 if device.type == "cuda" else 1):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure(
    shape: Shape, batch: int, device: torch.device, precision: str, repetitions: int
) -> dict[str, Any]:
    """A row of the report: for each way ms, and how many times as fast as "fused" it is.

    Raises:
        AssertionError: two ways do not agree.
    """
    parts = parts_of(shape, batch, device, PRECISIONS[precision])
    ways, failed = {}, {}
    right = fused(parts).float()
    for name, way in ways_of(shape, batch, device).items():
        try:
            step(way, parts, backward=True)
        except RuntimeError as error:  # a kernel that is not made for the shape or the type
            failed[name] = str(error).splitlines()[0]
            continue
        allowed = 1e-4 if precision == "fp32" and device.type == "cpu" else 2e-2
        torch.testing.assert_close(way(parts).float(), right, rtol=allowed, atol=allowed)
        ways[name] = way
    row = {**shape._asdict(), "batch": batch, "precision": precision, "failed": failed}
    for task in ("forward", "with backward"):
        calls = {
            name: partial(timed, partial(step, way, parts, task != "forward"), device)
            for name, way in ways.items()
        }
        times = in_turns(calls, repetitions)
        clock = "wall" if device.type == "cuda" else "cpu"
        seconds = {name: getattr(time, clock) for name, time in times.items()}
        row[task] = {
            name: {"ms": 1e3 * statistics.median(own), "times_as_fast": ratio(seconds, name)}
            for name, own in seconds.items()
        }
    return row


def ratio(seconds: dict[str, list[float]], name: str) -> float:
    """Median over the repetitions of how many times as fast as "fused" a way was."""
    pairs = zip(seconds["fused"], seconds[name], strict=True)
    return statistics.median(fused / own for fused, own in pairs)


def markdown(report: dict[str, Any]) -> str:
    lines = [words(report["machine"]), "", "Times as fast as `scaled_dot_product_attention`:", ""]
    for task in ("forward", "with backward"):
        lines += [f"**{task}**", ""]
        for row in report["rows"]:
            own = [f"{name} {way['times_as_fast']:.2f}" for name, way in row[task].items()]
            first = row[task]["fused"]["ms"]
            title = f"{row['name']}, {row['precision']}, batch {row['batch']}: {first:.2f} ms"
            lines.append(f"- {title}; {', '.join(own[1:])}")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--device", help="cuda or cpu; the GPU if there is one")
    parser.add_argument("--batch", type=int, default=0, help="clips; 8 on a GPU, 1 on a CPU")
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="only the first so many")
    parser.add_argument("--repetitions", type=int, default=9)
    args = parser.parse_args()
    device = chosen_device(args.device)
    batch = args.batch or (8 if device.type == "cuda" else 1)
    precisions = ["bf16", "fp32"] if device.type == "cuda" else ["fp32"]
    if device.type == "cpu":
        torch.set_num_threads(1)  # processor time is what is compared
    rows = [
        measure(shape, batch, device, precision, args.repetitions)
        for shape in SHAPES[: args.shapes]
        for precision in precisions
    ]
    report = {"machine": facts(device), "rows": rows}
    print(markdown(report))
    write_json(args.output, report)


if __name__ == "__main__":
    main()
