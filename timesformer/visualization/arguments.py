"""The command line of tools/visualize.py; imports nothing heavy."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from timesformer.inference.arguments import add_model

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def parse_args(description: str) -> argparse.Namespace:
    """The options, and `overrides`, KEY VALUE pairs of the config that stand last."""
    parser = argparse.ArgumentParser(description=description)
    commands = parser.add_subparsers(dest="command", required=True, metavar="WHAT")
    add_attention(commands)
    add_embeddings(commands)
    add_neighbours(commands)
    # Subcommands cannot take positional arguments behind options: those are what is left.
    args, rest = parser.parse_known_args()
    args.overrides = rest
    if unknown := [word for word in rest if word.startswith("--")]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return args


def add_attention(commands: Commands) -> None:
    parser = commands.add_parser(
        "attention",
        help="what the model looks at in a video, as an MP4 and a PNG",
        description="Heat over the frames of the clip as the network sees it: attention rollout "
        "of the class token, and what speaks for a class (gradient-weighted). The middle view of "
        "the test is shown.",
        epilog="KEY VALUE pairs of the config may stand last.",
    )
    parser.add_argument("video", metavar="VIDEO", help="a file, or what else data sets can open")
    add_model(parser)
    add = parser.add_argument
    add("--class", dest="class_name", metavar="NAME", help="to explain (what that view predicts)")
    add("--raw", action="store_true", help="single heads instead: all, or those of --layer")
    add("--layer", type=int, metavar="L", help="of --raw, from 0; -1 is the last (all)")
    add("--head", type=int, metavar="H", help="of --raw, from 0 (all)")
    add("--out", metavar="STEM", help="files, without .mp4 and .png (of the run, attention_VIDEO)")


def add_embeddings(commands: Commands) -> None:
    parser = commands.add_parser(
        "embeddings",
        help="the features of a split as a map, as a PNG and a page",
        description="Features of a split's videos as points, coloured by class, and how many have "
        "the class of their nearest neighbours. They are written to STEM.npz for --features.",
        epilog="KEY VALUE pairs of the config may stand last.",
    )
    add_model(parser)
    add_bank(parser)
    parser.add_argument("--method", default="tsne", choices=("tsne", "umap"), help="the map (tsne)")
    parser.add_argument(
        "--out", metavar="STEM", help="files, without their endings (of the run, embeddings_SPLIT)"
    )


def add_neighbours(commands: Commands) -> None:
    parser = commands.add_parser(
        "neighbours",
        help="the videos most like a given one, as a table and a PNG",
        description="The videos of a split whose features have the largest cosine with those of "
        "a query.",
        epilog="KEY VALUE pairs of the config may stand last.",
    )
    parser.add_argument("video", metavar="QUERY_VIDEO", help="a file")
    add_model(parser)
    add_bank(parser)
    parser.add_argument("-k", type=int, default=8, metavar="K", help="how many (8)")
    parser.add_argument(
        "--out", metavar="STEM", help="files, without endings (of the run, neighbours_VIDEO)"
    )


def add_bank(parser: argparse.ArgumentParser) -> None:
    """The videos with known features."""
    parser.add_argument(
        "--split", default="test", choices=("train", "val", "test"), help="whose videos (test)"
    )
    parser.add_argument(
        "--features",
        metavar="FILE",
        help="npz of features, as this tool or tools/predict.py --features cls writes it",
    )
