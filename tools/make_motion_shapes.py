"""Make the embedded data set MotionShapes; does nothing if it is there already."""

from __future__ import annotations

import argparse

from timesformer.door import door


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", help="folder to make, if left out the one the task's configs name")
    tasks = "direction (if left out), appearance or order"
    parser.add_argument("--task", default="direction", help=tasks)
    parser.add_argument("--seed", type=int, default=0, help="of all randomness, 0 or more (0)")
    usual = "clips; as many as the task usually has if left out"
    parser.add_argument("--num-train", type=int, help=f"training {usual}")
    parser.add_argument("--num-val", type=int, help=f"validation {usual}")
    parser.add_argument("--num-test", type=int, help=f"test {usual}")
    parser.add_argument("--force", action="store_true", help="replace a MotionShapes that is there")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with door():
        # Imported late: --help and a mistake in the options are answered at once.
        from timesformer.datasets.motion_shapes import ensure_motion_shapes

        name = "" if args.task == "direction" else args.task.capitalize()
        out = args.out or f"data/MotionShapes{name}"
        ensure_motion_shapes(
            out,
            task=args.task,
            seed=args.seed,
            num_train=args.num_train,
            num_val=args.num_val,
            num_test=args.num_test,
            force=args.force,
        )
    print(f"MotionShapes is in {out}")


if __name__ == "__main__":
    main()
