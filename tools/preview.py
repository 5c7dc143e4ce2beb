#!/usr/bin/env python3
"""What the network will really see of a data set, as a picture and a page.

python tools/preview.py --cfg configs/MotionShapes/TimeSformer_divST_tiny.yaml --split train
"""

from __future__ import annotations

import argparse
from pathlib import Path

from timesformer.config import load_config
from timesformer.door import door
from timesformer.errors import UserError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write the clips of some videos as the network takes them: sampled, cropped, "
        "augmented and mixed, with the names of their classes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--cfg", required=True, metavar="FILE", help="YAML file")
    parser.add_argument("--split", default="train", choices=("train", "val", "test"), help="split")
    parser.add_argument("--num-videos", type=int, default=8, metavar="N", help="how many videos")
    parser.add_argument("--epoch", type=int, default=0, help="of train, from 0")
    parser.add_argument("--out", metavar="PATH", help="without .png (OUTPUT_DIR/preview_SPLIT)")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY VALUE", help="keys that win over the file"
    )
    return parser.parse_intermixed_args()


def main() -> None:
    args = parse_args()
    with door():
        if args.num_videos < 1 or args.epoch < 0:
            raise UserError("--num-videos must be at least 1, and --epoch at least 0.")
        cfg = load_config(args.cfg, args.overrides)
        # Imported late: a mistake in the config is answered before torch is loaded.
        from timesformer.visualization.preview import preview

        out = Path(args.out or f"{cfg.OUTPUT_DIR}/preview_{args.split}")
        files = preview(cfg, args.split, num_videos=args.num_videos, epoch=args.epoch, out=out)
        print("wrote", *files)


if __name__ == "__main__":
    main()
