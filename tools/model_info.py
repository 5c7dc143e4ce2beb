#!/usr/bin/env python3
"""What a model costs: parameters, FLOPs, memory, tokens. Needs neither weights nor a GPU.

python tools/model_info.py --cfg configs/Kinetics/TimeSformer_divST_96x4_224.yaml [--memory]
python tools/model_info.py --all
"""

from __future__ import annotations

import argparse
import json

from timesformer.config import load_config
from timesformer.door import door
from timesformer.errors import UserError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Parameters, FLOPs (multiply-adds), memory and tokens of a config's model.",
        epilog="Every key with its meaning: timesformer/config/defaults.py",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--cfg", metavar="FILE", help="YAML file")
    what.add_argument("--all", action="store_true", help="the comparisons of the paper, beside it")
    parser.add_argument("--memory", action="store_true", help="what a training step needs instead")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY VALUE", help="keys that win over the file"
    )
    return parser.parse_intermixed_args()


def report(args: argparse.Namespace) -> str:
    if args.all and (args.overrides or args.memory):
        raise UserError("--all compares fixed models: it takes no KEY VALUE and no --memory.")
    cfg = None if args.all else load_config(args.cfg, args.overrides)
    # Imported late: a mistake in the config is answered before torch is loaded.
    from timesformer.profiling import ladder
    from timesformer.profiling import report as costs

    if cfg is None:
        values, as_text = costs.paper_report(), costs.paper_text
    elif args.memory:
        values, as_text = ladder.memory_report(cfg), ladder.memory_text
    else:
        values, as_text = costs.config_report(cfg), costs.config_text
    return json.dumps(values, indent=2) if args.json else as_text(values)


def main() -> None:
    args = parse_args()
    with door():
        print(report(args))


if __name__ == "__main__":
    main()
