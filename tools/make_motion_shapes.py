"""Make the embedded data set MotionShapes; does nothing if it is there already."""

from __future__ import annotations

import argparse

from timesformer.door import door


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--out", default="data/MotionShapes", help="folder to make")
    parser.add_argument("--seed", type=int, default=0, help="of all randomness, 0 or more")
    parser.add_argument("--num-train", type=int, default=1600, help="training clips")
    parser.add_argument("--num-val", type=int, default=200, help="validation clips")
    parser.add_argument("--num-test", type=int, default=400, help="test clips")
    parser.add_argument("--force", action="store_true", help="replace a MotionShapes that is there")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with door():
        # Imported late: --help and a mistake in the options are answered at once.
        from timesformer.datasets.motion_shapes import ensure_motion_shapes

        ensure_motion_shapes(
            args.out,
            seed=args.seed,
            num_train=args.num_train,
            num_val=args.num_val,
            num_test=args.num_test,
            force=args.force,
        )
    print(f"MotionShapes is in {args.out}")


if __name__ == "__main__":
    main()
