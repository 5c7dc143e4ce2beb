"""How does the cost of a TimeSformer grow with frames and with pixels? The paper's figure 3.

    python -m benchmarks.growth --output benchmarks/results/growth.json --plot docs/growth.png
    python -m benchmarks.growth --plot docs/growth.png --redraw benchmarks/results/growth.json

Divided and joint attention, base-16, one clip. On a CPU one block of the network is timed, forward,
in float32: all twelve would take an hour. On a GPU it is the whole network in bfloat16, forward and
a step of training. Beside it are the operations by the formula of `profiling.flops`, and a fit:
milliseconds = a x tokens + b x pairs of tokens that attend + what does not grow.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import machine
from benchmarks.ceiling import clocked, seconds_of
from benchmarks.command import add_plot, parser_of, report_and_plot
from benchmarks.growth_fit import fits
from benchmarks.peers import ours
from benchmarks.steps import Inference, Training, normalised, peak_bytes, set_arithmetic
from timesformer.models.attention import TokenGrid
from timesformer.models.vit import TimeSformer
from timesformer.profiling.flops import BLOCK_WORK, Layers, layers_of, nominal_flops, num_tokens

SCHEMES = ("divided_space_time", "joint_space_time")
FRAMES = (8, 16, 32, 64, 96, 128)
SIDES = (224, 336, 448, 560)
SMALLEST = ((2, 4), (32, 48))
START = (8, 224)
"""Frames and pixels, of which one grows at a time."""
TASKS = {"block": ("forward",), "network": ("forward", "training")}
STEPS = {"forward": Inference, "training": Training}
PRECISION = {"cpu": "fp32", "cuda": "bf16"}
BASE: dict[str, int] = {}
SMALL = {"embed_dim": 32, "num_heads": 2}
PATCH, DEPTH = 16, 12

Row = dict[str, Any]


def main() -> None:
    arguments = parse_arguments()
    report = report_and_plot(arguments, measured, markdown)
    if arguments.plot:
        from benchmarks.growth_plot import draw

        draw(report, arguments.plot)


def parse_arguments() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--device", help="cpu or cuda; the GPU if there is one")
    parser.add_argument("--what", choices=tuple(TASKS), help="block on a CPU, network on a GPU")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--smallest", action="store_true", help="a network that takes seconds")
    add_plot(parser)
    return parser.parse_args()


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    device = machine.chosen_device(arguments.device)
    what = arguments.what or ("network" if device.type == "cuda" else "block")
    frames, sides = SMALLEST if arguments.smallest else (FRAMES, SIDES)
    start = (frames[0], sides[0])
    points = [*((each, start[1]) for each in frames), *((start[0], each) for each in sides[1:])]
    networks = {scheme: network_of(scheme, start, what, arguments.smallest) for scheme in SCHEMES}
    rows = [
        described(networks[scheme], scheme, task, *point, what)
        for scheme in SCHEMES
        for task in TASKS[what]
        for point in points
    ]
    for repetition in range(arguments.repetitions):
        for row in rows:
            print(f"{repetition + 1}: {row['scheme']}, {row['task']}", end=", ", file=sys.stderr)
            print(f"{row['frames']} x {row['side']}", file=sys.stderr)
            add_time(row, networks[row["scheme"]].to(device), what, device)
    for row in rows:
        row["ms"] = 1e3 * statistics.median(row["seconds"]) if row["seconds"] else None
    return {
        "machine": machine.facts(device),
        "what": what,
        "precision": PRECISION[device.type],
        "start": list(start),
        "rows": rows,
        "fits": fits(rows),
    }


def network_of(scheme: str, start: tuple[int, int], what: str, smallest: bool) -> TimeSformer:
    """Takes clips of any length and size; of one block where a block is measured."""
    size = dict(SMALL if smallest else BASE)
    if what == "block":
        size["depth"] = 1
    return ours(num_frames=start[0], img_size=start[1], attention_type=scheme, **size)


def described(
    network: TimeSformer, scheme: str, task: str, frames: int, side: int, what: str
) -> Row:
    """What is known of a point before it is measured.

    `flops` are operations of what is measured, as papers count them; `network_tflops` those of a
    forward pass of all twelve blocks. A multiply-add is two.
    """
    patches = side // PATCH
    grid = TokenGrid(frames, patches, patches)
    layers = layers_of(network.model)
    whole = 2 * nominal_flops(scheme, grid, layers._replace(depth=DEPTH))
    block = 2 * (nominal_flops(scheme, grid, layers) - nominal_flops(scheme, grid, none(layers)))
    work = BLOCK_WORK[scheme](grid)
    pairs = sum(number * length**2 for number, length in [*work.before, *work.last])
    return {
        "scheme": scheme,
        "task": task,
        "frames": frames,
        "side": side,
        "tokens": num_tokens(scheme, grid),
        "pairs": pairs,
        "flops": block if what == "block" else whole * (3 if task == "training" else 1),
        "network_tflops": whole / 1e12,
        "seconds": [],
        "peak_bytes": None,
        "out_of_memory": False,
    }


def none(layers: Layers) -> Layers:
    return layers._replace(depth=0)


def add_time(row: Row, network: TimeSformer, what: str, device: torch.device) -> None:
    """Measures a point once more, unless it did not fit before."""
    if row["out_of_memory"]:
        return
    try:
        clip = torch.zeros(1, 3, row["frames"], row["side"], row["side"], dtype=torch.uint8)
        if what == "block":
            row["seconds"].append(clocked(block_run(network, clip.to(device)), device))
            return
        step = STEPS[row["task"]](network, "eager", PRECISION[device.type], clip.to(device))
        before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
        row["seconds"].append(seconds_of(step, device))
        row["peak_bytes"] = peak_bytes(step, device, before)
    except torch.OutOfMemoryError:
        row["out_of_memory"] = True


def block_run(network: TimeSformer, clip: torch.Tensor) -> Callable[[], object]:
    """A forward pass of the first block over the tokens of a clip."""
    set_arithmetic("fp32")
    with torch.no_grad():
        tokens, grid = network.model.embed(normalised(clip))

    def run() -> object:
        with torch.no_grad():
            return network.model.blocks[0](tokens, grid)

    return run


def markdown(report: dict[str, Any]) -> str:
    what = f"{report['what']}, {report['precision']}"
    lines = [
        machine.words(report["machine"]),
        "",
        f"| {what} | frames x pixels | tokens | TFLOP, all blocks | ms | GFLOP/s | peak MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [line(row) for row in report["rows"]]
    for name, fit in report["fits"].items():
        lines.append(
            f"\n{name}: ms = {fit['ms_per_token']:.3g} x tokens + {fit['ms_per_pair']:.3g} x pairs "
            f"+ {fit['ms']:.3g}, off by {fit['mean_error']:.1%} on average, at most by "
            f"{fit['largest_error']:.1%}"
        )
    return "\n".join(lines)


def line(row: Row) -> str:
    name = f"| {row['scheme']}, {row['task']} | {row['frames']} x {row['side']} | {row['tokens']:,}"
    if row["ms"] is None:
        return f"{name} | {row['network_tflops']:.2f} | out of memory | | |"
    peak = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:,.0f}"
    speed = row["flops"] / row["ms"] / 1e6
    return f"{name} | {row['network_tflops']:.2f} | {row['ms']:.1f} | {speed:.0f} | {peak} |"


if __name__ == "__main__":
    main()
