#!/usr/bin/env python3
"""Train and test a video classifier.

python tools/run_net.py --cfg configs/MotionShapes/TimeSformer_divST_tiny.yaml NUM_GPUS 0
"""

from __future__ import annotations

import argparse

from timesformer.config import load_config
from timesformer.door import door


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train and test a video classifier as a YAML file says.",
        epilog="Every key with its meaning: timesformer/config/defaults.py",
    )
    parser.add_argument("--cfg", required=True, metavar="FILE", help="YAML file")
    parser.add_argument("--num_shards", metavar="N", help="nodes of the job (NUM_SHARDS)")
    parser.add_argument("--shard_id", metavar="I", help="which node this is (SHARD_ID)")
    parser.add_argument("--init_method", metavar="URL", help="tcp://HOST:PORT (INIT_METHOD)")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--dry-run", action="store_true", help="two steps; what a run would take")
    other.add_argument("--overfit-one-batch", action="store_true", help="learn one step by heart")
    parser.add_argument("--steps", type=int, help="at most, of --overfit-one-batch (300)")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY VALUE", help="as below")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys that win")
    args = parser.parse_intermixed_args()
    if args.steps is not None and not args.overfit_one_batch:
        parser.error("--steps is of --overfit-one-batch; a training has SOLVER.MAX_EPOCH")
    return args


def main() -> None:
    args = parse_args()
    opts = [*args.opts, *args.overrides]
    for name in ("num_shards", "shard_id", "init_method"):
        if (value := getattr(args, name)) is not None:
            opts += [name.upper(), value]
    with door():
        cfg = load_config(args.cfg, opts)
        # Imported late: a mistake in the config is answered before torch is loaded.
        if args.dry_run:
            from timesformer.rehearsal.dry_run import dry_run

            print(dry_run(cfg))
        elif args.overfit_one_batch:
            from timesformer.rehearsal.overfit import overfit_one_batch

            print(overfit_one_batch(cfg, args.steps))
        else:
            from timesformer.engine.run import start

            start(cfg)


if __name__ == "__main__":
    main()
