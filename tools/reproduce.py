#!/usr/bin/env python3
"""A table of the paper, or one of your own, by one command: runs, a table, a plot, a verdict.

python tools/reproduce.py
python tools/reproduce.py table1
python tools/reproduce.py mine.yaml --seeds 0,1 --jobs 4 SOLVER.MAX_EPOCH 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

from timesformer.door import door

ROOT = Path(__file__).resolve().parents[1]


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Carry out the runs of an experiment that are not done yet, several at a time, "
        "and write one table and one plot. Status 1 where a run fails or a claim does not hold. "
        "The same command goes on after an interruption.",
    )
    parser.add_argument("name", nargs="?", help="of configs/experiments, or a file; none: a list")
    parser.add_argument("--seeds", type=numbers, default=[], help="instead of the file's: 0,1,2")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="for table and plot (outputs/reproduce/NAME)"
    )
    parser.add_argument("--runs", type=Path, default=Path("outputs/reproduce/runs"), metavar="DIR")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at a time (cores; with GPUs 1)")
    parser.add_argument("--dry-run", action="store_true", help="say which runs, and what is done")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys of every run")
    return parser.parse_intermixed_args()


def main() -> None:
    args = parse_args()
    with door():
        # Imported late, so that --help is answered at once.
        from timesformer.experiments.reproduce import listing, reproduce

        if args.name is None:
            print(listing(ROOT))
            return
        out = args.out or Path("outputs", "reproduce", Path(args.name).stem)
        options = {name: getattr(args, name) for name in ("seeds", "jobs", "runs", "dry_run")}
        reproduce(args.name, root=ROOT, out=out, overrides=args.overrides, **options)


if __name__ == "__main__":
    main()
