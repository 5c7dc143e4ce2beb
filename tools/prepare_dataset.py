#!/usr/bin/env python3
"""Re-encode a data set so that it loads faster, and write its lists.

python tools/prepare_dataset.py ucf101 --out data/ucf101_256 DATA.PATH_TO_DATA_DIR lists
python tools/prepare_dataset.py train.csv val.csv --out data/mine_256
"""

from __future__ import annotations

import argparse
from pathlib import Path

from timesformer.preparation.arguments import add_making, parser_for, run


def parse_args() -> argparse.Namespace:
    parser = parser_for(
        "Re-encode every video of a data set as H.264 with a key frame every few pictures. "
        "Start it again to continue. Exit status 1 if too many videos are unreadable.",
        timeout=3600,
    )
    add_making(parser)
    parser.add_argument("--short-side", type=int, default=256, help="pixels; never enlarged")
    parser.add_argument("--gop", type=int, default=4, help="pictures between key frames")
    parser.add_argument("--crf", type=int, default=23, help="quality: 0 (lossless) to 51")
    parser.add_argument("--preset", default="fast", help="effort of x264")
    return parser.parse_intermixed_args()


def prepare(args: argparse.Namespace) -> None:
    # Imported late: --help and a mistake in the options are answered at once.
    from timesformer.preparation import choose, produce, workers
    from timesformer.preparation.encode import VideoSettings

    how = workers.how(args)
    data = choose.choose(args.data, args.cfg, args.splits)
    settings = VideoSettings(
        short_side=args.short_side,
        gop=args.gop,
        crf=args.crf,
        preset=args.preset,
        frames_fps=data.frames_fps,
    )
    produce.prepare_dataset(data, Path(args.out), settings, how)


if __name__ == "__main__":
    run(prepare, parse_args())
