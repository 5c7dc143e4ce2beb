#!/usr/bin/env python3
"""Take the videos of a data set apart into folders of images, and write its lists.

python tools/extract_frames.py ssv2 --out data/ssv2_frames --fps 12 --short-side 256 \
  DATA.PATH_TO_DATA_DIR lists DATA.PATH_PREFIX videos
"""

from __future__ import annotations

import argparse
from pathlib import Path

from timesformer.preparation.arguments import add_making, parser_for, run


def parse_args() -> argparse.Namespace:
    parser = parser_for(
        "Write every video of a data set as a folder of images. Start it again to continue. Exit "
        "status 1 if too many videos are unreadable.",
        timeout=3600,
    )
    add_making(parser)
    parser.add_argument("--fps", type=float, help="frames per second; None for every frame")
    parser.add_argument("--short-side", type=int, help="pixels; never enlarged; None for no change")
    parser.add_argument("--pattern", default="img_%05d.jpg", help="names of the images, from 1")
    parser.add_argument("--quality", type=int, default=95, help="of jpg and webp, 1 to 100")
    return parser.parse_intermixed_args()


def extract(args: argparse.Namespace) -> None:
    # Imported late: --help and a mistake in the options are answered at once.
    from timesformer.preparation import choose, produce, workers
    from timesformer.preparation.extract import FrameSettings

    how = workers.how(args)
    data = choose.choose(args.data, args.cfg, args.splits)
    settings = FrameSettings(
        short_side=args.short_side,
        fps=args.fps,
        pattern=args.pattern,
        quality=args.quality,
        frames_fps=data.frames_fps,
    )
    produce.extract_frames(data, Path(args.out), settings, how)


if __name__ == "__main__":
    run(extract, parse_args())
