"""What the command lines that use a trained model have in common; imports nothing heavy."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from timesformer.config.defaults import KEYS

if TYPE_CHECKING:
    from timesformer.inference.predictor import Predictor

SECTIONS = {name.split(".")[0] for name in KEYS}


def add_model(parser: argparse.ArgumentParser) -> None:
    """The options that say which model: those of `load_trained`."""
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="X",
        help="a file, an address, or the OUTPUT_DIR of a run for its newest",
    )
    parser.add_argument("--cfg", metavar="FILE", help="its config, where it holds none (YAML)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (auto)")
    parser.add_argument("--averaged", action="store_true", help="the average of its weights")


def predictor_of(args: argparse.Namespace, overrides: Sequence[str]) -> Predictor:
    """The model that the options of `add_model` name."""
    from timesformer.inference.predictor import Predictor

    return Predictor(
        args.checkpoint,
        cfg_file=args.cfg,
        overrides=overrides,
        device=args.device,
        averaged=args.averaged,
    )


def split_off_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Paths, and the KEY VALUE pairs behind them: what begins as a config key does and is no file.

    A key that is misspelt is an override, too, so that the config can say so.
    """
    for place, word in enumerate(words):
        if word.split(".")[0] in SECTIONS and not os.path.exists(word):
            return list(words[:place]), list(words[place:])
    return list(words), []
