#!/usr/bin/env python3
"""Where the time of training steps goes: a trace, and ten lines.

python tools/profile.py --cfg configs/MotionShapes/TimeSformer_divST_tiny.yaml
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

from timesformer.config import load_config
from timesformer.door import door


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Take some real training steps of a config's run, in one process and with its "
        "own loader, under PyTorch's profiler. Writes OUTPUT_DIR/profile/ and nothing else.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--cfg", required=True, metavar="FILE", help="YAML file")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="steps that count")
    parser.add_argument("--warmup", type=int, default=3, metavar="N", help="steps before them")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY VALUE", help="keys that win over the file"
    )
    return parser.parse_intermixed_args()


def main() -> None:
    args = parse_args()
    with door():
        cfg = load_config(args.cfg, args.overrides)
        # Read when torch is loaded: without a GPU its profiler complains of that, and goes on.
        os.environ.setdefault("KINETO_LOG_LEVEL", "5")
        # Imported late: a mistake in the config is answered before torch is loaded.
        from timesformer.profiling.steps import profile_training, text

        print(text(profile_training(cfg, warmup=args.warmup, steps=args.steps)))


if __name__ == "__main__":
    main()
elif __name__ == "profile":
    # Whoever runs a tool finds this file before the standard library's of the same name, which
    # torch.compile imports by way of cProfile: so that one takes this one's place.
    here = Path(__file__).resolve().parent
    elsewhere = [place for place in sys.path if Path(place).resolve() != here]
    spec = PathFinder.find_spec("profile", elsewhere)
    assert spec is not None and spec.loader is not None
    sys.modules["profile"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["profile"])
