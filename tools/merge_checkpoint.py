#!/usr/bin/env python3
"""One file of a checkpoint in shares (TRAIN.PARALLEL fsdp), for whatever reads weights.

python tools/merge_checkpoint.py outputs/run/checkpoints/checkpoint_best.dcp
"""

from __future__ import annotations

import argparse
from pathlib import Path

from timesformer.door import door


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write a checkpoint in shares, a folder, as one file; needs memory for all of "
        "it. A test does this by itself."
    )
    parser.add_argument("folder", metavar="IN", type=Path, help="a checkpoint folder, *.dcp")
    parser.add_argument(
        "out", metavar="OUT", type=Path, nargs="?", help="file to write (IN with .pyth for .dcp)"
    )
    return parser.parse_args()


def main() -> None:
    arguments = vars(parse_args())
    with door(shows_log=True):
        # Imported late: --help and a mistake in the options are answered before torch is loaded.
        from timesformer.checkpoints.merge import merge

        merge(**arguments)


if __name__ == "__main__":
    main()
