#!/usr/bin/env python3
"""Which learning rate a run should have: a curve, and a suggestion.

python tools/lr_find.py --cfg configs/MotionShapes/TimeSformer_divST_tiny.yaml
"""

from __future__ import annotations

import argparse
from pathlib import Path

from timesformer.config import load_config
from timesformer.door import door


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Take real training steps of a config's run with a learning rate that grows "
        "from step to step, and see where the loss falls and where it runs away. Reads and writes "
        "no checkpoint of OUTPUT_DIR.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--cfg", required=True, metavar="FILE", help="YAML file")
    parser.add_argument(
        "--from", dest="lowest", type=float, default=1e-7, metavar="LR", help="first rate"
    )
    parser.add_argument("--to", type=float, default=10.0, metavar="LR", help="last rate")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="steps between them")
    parser.add_argument("--fresh-clips", action="store_true", help="other clips in each step")
    parser.add_argument("--out", metavar="PATH", help="without .png (OUTPUT_DIR/lr_find)")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY VALUE", help="keys that win over the file"
    )
    return parser.parse_intermixed_args()


def main() -> None:
    args = parse_args()
    with door():
        cfg = load_config(args.cfg, args.overrides)
        # Imported late: a mistake in the config is answered before torch is loaded.
        from timesformer.rehearsal.lr_find import find_lr

        found = find_lr(
            cfg,
            lowest=args.lowest,
            highest=args.to,
            steps=args.steps,
            fresh_clips=args.fresh_clips,
            out=Path(args.out or f"{cfg.OUTPUT_DIR}/lr_find"),
        )
        print(found)


if __name__ == "__main__":
    main()
