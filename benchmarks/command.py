"""What the benchmarks' commands have in common: a parser, and a report that is kept."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """Of a module with that docstring; knows where the report goes."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser


def add_plot(parser: argparse.ArgumentParser) -> None:
    """Options of a benchmark whose report is drawn as well: see `report_and_plot`."""
    parser.add_argument("--plot", type=Path, help="PNG to draw; wants matplotlib")
    parser.add_argument("--redraw", type=Path, help="JSON file to draw, nothing is measured")


def report_and_plot(
    arguments: argparse.Namespace,
    measured: Callable[[argparse.Namespace], dict[str, Any]],
    markdown: Callable[[dict[str, Any]], str],
) -> dict[str, Any]:
    """The report, measured and printed, or read again; written where it was asked for."""
    if arguments.redraw:
        report = json.loads(arguments.redraw.read_text(encoding="utf-8"))
    else:
        report = measured(arguments)
        print(markdown(report))
    write_json(arguments.output, report)
    return dict(report)


def write_json(path: Path | None, report: Any) -> None:
    """Nothing for None."""
    if path is not None:
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
