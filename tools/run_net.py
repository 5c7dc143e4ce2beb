#!/usr/bin/env python3
"""Train and test a video classifier.

python tools/run_net.py --cfg configs/MotionShapes/TimeSformer_divST_tiny.yaml NUM_GPUS 0
"""

from __future__ import annotations

import argparse
import sys

from timesformer.config import load_config
from timesformer.errors import Interrupted, UserError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train and test a video classifier as a YAML file says.",
        epilog="Every key with its meaning: timesformer/config/defaults.py",
    )
    parser.add_argument("--cfg", required=True, metavar="FILE", help="YAML file")
    parser.add_argument("--num_shards", metavar="N", help="nodes of the job (NUM_SHARDS)")
    parser.add_argument("--shard_id", metavar="I", help="which node this is (SHARD_ID)")
    parser.add_argument("--init_method", metavar="URL", help="tcp://HOST:PORT (INIT_METHOD)")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY VALUE", help="as below")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY VALUE", help="keys that win over the file"
    )
    return parser.parse_intermixed_args()


def main() -> None:
    args = parse_args()
    opts = [*args.opts, *args.overrides]
    for name in ("num_shards", "shard_id", "init_method"):
        value = getattr(args, name)
        if value is not None:
            opts += [name.upper(), value]
    try:
        cfg = load_config(args.cfg, opts)
        # Imported late: a mistake in the config is answered before torch is loaded.
        from timesformer.engine.run import start

        start(cfg)
    except UserError as error:
        sys.exit(f"error: {error}")
    except Interrupted as interruption:
        sys.exit(128 + interruption.signum)
    except KeyboardInterrupt:  # before the run has begun
        sys.exit(130)


if __name__ == "__main__":
    main()
