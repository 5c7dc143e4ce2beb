#!/usr/bin/env python3
"""A page in the browser: drop a video, see what a trained model says and looks at.

python tools/demo.py --checkpoint outputs/run
"""

from __future__ import annotations

import argparse

from timesformer.door import door
from timesformer.errors import UserError
from timesformer.inference.arguments import add_model, predictor_of

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Serve a page, for this machine alone unless --host says otherwise. Needs "
        "pip install 'timesformer[demo]'.",
    )
    add_model(parser)
    parser.add_argument("--host", default=LOOPBACK[0], help="address to listen at (127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="(7860)")
    parser.add_argument("--max-mb", type=float, default=200, metavar="MB", help="of a video (200)")
    parser.add_argument("--max-seconds", type=float, default=600, metavar="S", help="(600)")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY VALUE", help="keys that win over the config"
    )
    return parser.parse_intermixed_args()


def main() -> None:
    args = parse_args()
    with door():
        if not (args.max_mb > 0 and args.max_seconds > 0):
            raise UserError("--max-mb and --max-seconds must be above 0.")
        if not 0 < args.port < 2**16:
            raise UserError(f"--port is {args.port}, but must be from 1 to {2**16 - 1}.")
        # Imported late, so that --help is fast.
        from timesformer.demo.page import check_gradio, serve

        check_gradio()
        from timesformer.demo.look import Limits

        # Without processes for reading: to fork them off the page's threads may hang.
        predictor = predictor_of(args, ["DATA_LOADER.NUM_WORKERS", "0", *args.overrides])
        if args.host not in LOOPBACK:
            print(f"anyone who reaches {args.host} can use this page")
        serve(predictor, Limits(args.max_mb, args.max_seconds), host=args.host, port=args.port)


if __name__ == "__main__":
    main()
