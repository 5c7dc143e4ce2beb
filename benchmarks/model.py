"""How fast is a TimeSformer here, beside other programs' and beside the machine's limit?

    python -m benchmarks.model                                   # cpu or gpu, whichever there is
    python -m benchmarks.model --preset gpu --output benchmarks/results/model_h200.json

Everything in turns; ratios are medians of those within a repetition. Before anything is timed, the
outputs of the programs with the same weights must be equal. Prints Markdown; writes JSON with
--output, after each case. Peers: pip install 'timesformer[benchmark]'; what is missing is said.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine, peers
from benchmarks.cases import Case, presets
from benchmarks.command import parser_of, write_json
from benchmarks.model_report import markdown
from benchmarks.turns import measure, profile_of

PRESETS = ("cpu", "gpu", "smallest")
REPETITIONS = {"cpu": 5, "gpu": 7, "smallest": 2}


def main() -> None:
    arguments = parse_arguments()
    device = machine.chosen_device(arguments.device)
    preset = arguments.preset or ("gpu" if device.type == "cuda" else "cpu")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    cases = presets(preset, machine.flags())
    if arguments.models:
        cases = [case for case in cases if case.model in arguments.models]
    report: dict[str, Any] = {
        "machine": machine.facts(device, peers.PACKAGES),
        "preset": preset,
        "repetitions": arguments.repetitions or REPETITIONS[preset],
        "cases": [],
        "left_out": [],
    }
    run(report, cases, device, arguments)
    print(markdown(report))


def parse_arguments() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--preset", choices=PRESETS)
    parser.add_argument("--device", help="cpu or cuda; the GPU if there is one")
    parser.add_argument("--threads", type=int, help="of the CPU; as many as PyTorch takes")
    parser.add_argument("--models", nargs="+", help="only these of the preset's models")
    parser.add_argument("--batch", type=int, help="clips; else the preset's, or what fits")
    parser.add_argument("--repetitions", type=int)
    parser.add_argument(
        "--minutes", type=float, default=7.0, help="after which no case is begun on a GPU (7)"
    )
    parser.add_argument("--profile", type=Path, help="text file: where our time goes, each case")
    return parser.parse_args()


def run(
    report: dict[str, Any], cases: list[Case], device: torch.device, arguments: argparse.Namespace
) -> None:
    """Measures every case into `report`, which is written after each."""
    start = time.monotonic()
    if arguments.profile:
        arguments.profile.unlink(missing_ok=True)
    for case in cases:
        title = f"{case.model}, {case.scheme}, {case.task}"
        if device.type == "cuda" and time.monotonic() - start > 60 * arguments.minutes:
            report["left_out"].append(title)
            continue
        print(f"{time.monotonic() - start:5.0f} s: {title}", file=sys.stderr)
        result, quickest = measure(case, device, report["repetitions"], arguments.batch)
        report["cases"].append(result)
        if arguments.profile and quickest is not None:
            with arguments.profile.open("a", encoding="utf-8") as file:
                file.write(f"{title}: {result['quickest']}\n{profile_of(quickest, device)}\n")
        del quickest
        forget(device)
        report["seconds"] = round(time.monotonic() - start)
        write_json(arguments.output, report)


def forget(device: torch.device) -> None:
    """Frees what a case leaves behind: compiled code, and the memory of its networks."""
    torch._dynamo.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
