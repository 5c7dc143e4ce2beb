#!/usr/bin/env python3
"""Pack a data set into tar shards, for network disks and object stores.

python tools/make_shards.py ucf101 --out data/ucf101_shards DATA.PATH_TO_DATA_DIR lists
python tools/make_shards.py --cfg run.yaml --out s3://bucket/howto100m --shard-size 1GB
"""

from __future__ import annotations

import argparse

from timesformer.preparation.arguments import add_making, parser_for, run


def parse_args() -> argparse.Namespace:
    parser = parser_for(
        "Pack the videos of a data set, as they are, into tar files in a random order, with an "
        "index of where each lies. Start it again to continue. The webdataset library can stream "
        "the same files.",
        timeout=3600,
        unit="shard",
    )
    add_making(parser, out="folder to make, or s3://… or the like")
    parser.add_argument("--shard-size", default="256MB", help="bytes of videos in one tar file")
    parser.add_argument("--seed", type=int, default=0, help="of the order in the tar files")
    return parser.parse_intermixed_args()


def make(args: argparse.Namespace) -> None:
    # Imported late: --help and a mistake in the options are answered at once.
    from timesformer.preparation import choose, shards, workers

    how = workers.how(args)
    size = shards.parse_bytes(args.shard_size)
    data = choose.choose(args.data, args.cfg, args.splits)
    shards.make_shards(data, args.out, shard_bytes=size, seed=args.seed, how=how)


if __name__ == "__main__":
    run(make, parse_args())
