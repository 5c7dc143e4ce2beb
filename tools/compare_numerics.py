#!/usr/bin/env python3
"""Whether a change of the code changes the numbers of a training.

python tools/compare_numerics.py                    # the last commit and the working tree
python tools/compare_numerics.py v0.1.0 HEAD
python tools/compare_numerics.py --renew            # after a change that is meant to
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from timesformer.door import door

ROOT = Path(__file__).resolve().parents[1]
NUMERICS = ROOT / "tests" / "numerics"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train and test every config of tests/numerics/cases, 50 steps each, by two "
        "commits, and say from which step on the losses differ, and how much. Status 1 if they "
        "differ by more than rounding can do. Takes about two minutes.",
    )
    parser.add_argument("first", nargs="?", default="HEAD", metavar="COMMIT", help="(HEAD)")
    parser.add_argument("second", nargs="?", metavar="COMMIT", help="(the working tree)")
    parser.add_argument("--exact", action="store_true", help="status 1 for any difference at all")
    parser.add_argument(
        "--renew",
        action="store_true",
        help="compare no commits: write the numbers of the working tree to tests/numerics/golden",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cases = sorted((NUMERICS / "cases").glob("*.yaml"))
    with door():
        # Imported late, so that --help is answered at once.
        from timesformer.rehearsal.commits import compare_commits, renew

        if args.renew:
            for case, outcome in renew(ROOT, cases, NUMERICS / "golden"):
                print(f"{case}: {outcome}", flush=True)
            return
        is_fine = True
        for case, found, weights in compare_commits(ROOT, cases, args.first, args.second):
            print(f"{case}: {found}; final weights by up to {weights:.1e}", flush=True)
            is_fine &= found.is_none if args.exact else found.is_rounding
        sys.exit(0 if is_fine else 1)


if __name__ == "__main__":
    main()
