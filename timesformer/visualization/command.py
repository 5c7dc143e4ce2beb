"""What tools/visualize.py does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from timesformer.annotations.places import exists
from timesformer.errors import UserError
from timesformer.inference.arguments import predictor_of

if TYPE_CHECKING:
    from timesformer.inference.predictor import Predictor


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for, and say what was written.

    Raises:
        UserError: a mistake in it.
    """
    check(args)
    predictor = predictor_of(args, args.overrides)
    for path in COMMANDS[args.command](predictor, args):
        print("wrote", path)


def check(args: argparse.Namespace) -> None:
    """UserError for what can be known before the model is loaded."""
    if "video" in args and not exists(args.video):
        raise UserError(f"There is no video '{args.video}'.")
    if "features" in args and args.features and not Path(args.features).is_file():
        raise UserError(f"There is no file '{args.features}' (--features).")
    if args.command != "attention":
        return
    if not args.raw and (args.layer is not None or args.head is not None):
        raise UserError("--layer and --head are of single attentions: add --raw.")
    if args.raw and args.class_name is not None:
        raise UserError("--raw is the same for every class: leave out --class or --raw.")


def attention(predictor: Predictor, args: argparse.Namespace) -> Sequence[Path]:
    from timesformer.visualization.attention import show_attention, show_raw

    out = args.out or predictor.trained.folder / f"attention_{Path(args.video).stem}"
    if args.raw:
        return show_raw(args.video, predictor, out, args.layer, args.head)
    return show_attention(args.video, predictor, out, args.class_name)


def embeddings(predictor: Predictor, args: argparse.Namespace) -> Sequence[Path]:
    from timesformer.visualization.embeddings import show_embeddings

    return show_embeddings(
        predictor,
        args.out or predictor.trained.folder / f"embeddings_{args.split}",
        split=args.split,
        method=args.method,
        features_file=args.features,
    )


def neighbours(predictor: Predictor, args: argparse.Namespace) -> Sequence[Path]:
    from timesformer.visualization.neighbours import show_neighbours, table

    found, paths = show_neighbours(
        args.video,
        predictor,
        args.out or predictor.trained.folder / f"neighbours_{Path(args.video).stem}",
        k=args.k,
        split=args.split,
        features_file=args.features,
    )
    print(table(found), end="")
    return paths


COMMANDS = {"attention": attention, "embeddings": embeddings, "neighbours": neighbours}
