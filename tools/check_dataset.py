#!/usr/bin/env python3
"""Decode every video of a data set, and write what is wrong with it and lists without that.

python tools/check_dataset.py train.csv val.csv --out checked
"""

from __future__ import annotations

import argparse
from pathlib import Path

from timesformer.preparation.arguments import parser_for, run


def parse_args() -> argparse.Namespace:
    parser = parser_for(
        "Decode every video of a data set to its end. Writes report.json, report.txt, "
        "quarantine.csv (path, split, reason) and lists of the others. Exit status 0 when nothing "
        "was quarantined, 1 when something was, or on a mistake.",
        timeout=600,
    )
    parser.add_argument("--out", type=Path, default="dataset_check", metavar="DIR", help="folder")
    parser.add_argument("--min-frames", type=int, default=2, help="fewer are too short")
    parser.add_argument(
        "--drop-duplicates",
        action="store_true",
        help="quarantine, not only report, training videos with the content of one in another "
        "split, and all but the first of the same content in a split",
    )
    return parser.parse_intermixed_args()


def check(args: argparse.Namespace) -> int:
    # Imported late: --help and a mistake in the options are answered at once.
    from timesformer.preparation import choose
    from timesformer.preparation.check import check_dataset
    from timesformer.preparation.workers import Crew

    crew = Crew(args.workers, args.timeout)
    data = choose.choose(args.data, args.cfg, args.splits)
    is_clean = check_dataset(
        data,
        args.out,
        crew,
        min_frames=args.min_frames,
        drop_duplicates=args.drop_duplicates,
    )
    return 0 if is_clean else 1


if __name__ == "__main__":
    run(check, parse_args())
