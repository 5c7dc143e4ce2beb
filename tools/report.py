#!/usr/bin/env python3
"""What a test found out, as one page that opens offline; of several runs, a comparison.

python tools/report.py OUTPUT_DIR
python tools/report.py OUTPUT_DIR ANOTHER_OUTPUT_DIR --out comparison.html
"""

from __future__ import annotations

import argparse
from pathlib import Path

from timesformer.door import door


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write the report of a run that has tested, from the files in its OUTPUT_DIR. "
        "Several folders make one page that compares the runs with the first of them.",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="OUTPUT_DIR of a run")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="page to write (of one run DIR/report.html, of several ./comparison.html)",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with door():
        # Imported late, so that --help is answered at once.
        from timesformer.report.write import write_comparison, write_report

        if len(args.folders) == 1:
            page = write_report(args.folders[0], out=args.out)
        else:
            page = write_comparison(args.folders, args.out or Path("comparison.html"))
        print("wrote", page)


if __name__ == "__main__":
    main()
