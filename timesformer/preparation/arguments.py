"""What the command lines of this room's tools have in common; imports nothing heavy."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from timesformer.door import door

_DATA = (
    "name of a data set (ucf101, video_csv, …), or csv files, or nothing where --cfg names one by "
    "TRAIN.DATASET; then KEY VALUE pairs of a config"
)


def parser_for(description: str, *, timeout: float, unit: str = "video") -> argparse.ArgumentParser:
    """A parser that knows which data set, which splits and how many processes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("data", nargs="*", metavar="DATA", help=_DATA)
    parser.add_argument("--cfg", metavar="FILE", help="YAML file")
    parser.add_argument("--splits", default="train,val,test", help="which lists; not of csv files")
    parser.add_argument("--workers", type=int, default=_num_cores(), help="processes")
    parser.add_argument("--timeout", type=float, default=timeout, help=f"seconds for one {unit}")
    return parser


def add_making(parser: argparse.ArgumentParser, out: str = "folder to make") -> None:
    """What the tools that make data sets have in common; `out` is help."""
    parser.add_argument("--out", required=True, metavar="DIR", help=out)
    parser.add_argument(
        "--max-failed-fraction", type=float, default=0.05, help="of videos may be unreadable"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what was made otherwise")


def run(tool: Callable[[argparse.Namespace], int | None], args: argparse.Namespace) -> None:
    """Run a tool with its log on standard output; exit with what it returns, or a sentence."""
    with door(shows_log=True):
        sys.exit(tool(args))


def _num_cores() -> int:
    """Those that this process may use, which a batch system may have limited."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
