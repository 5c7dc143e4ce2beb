"""The reports that a test and a person ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from timesformer.checkpoints.atomic import check_writable
from timesformer.errors import UserError
from timesformer.report.comparison import Comparison
from timesformer.report.content import Report
from timesformer.report.page import render, save
from timesformer.report.results import read_run


def write_report(
    output_dir: Path, predictions: Path | None = None, *, out: Path | None = None
) -> Path:
    """Write ``report.html``: what a test found out, as one page that opens offline.

    Whatever of the run's files is missing, but for the predictions, leaves its part of the page
    out; a video that cannot be read leaves a note in place of its picture.

    Args:
        output_dir: OUTPUT_DIR of a run that has tested.
        predictions: where its predictions lie, if not where its config says.
        out: the file to write; by default ``report.html`` in `output_dir`.

    Returns:
        The path of the page.

    Raises:
        UserError: there are no predictions, a file is broken, or the page cannot be written.
    """
    run = read_run(output_dir, predictions)
    out = out or output_dir / "report.html"
    check_writable(out)  # before videos are read
    return save(out, render("report.html", report=Report(run)))


def write_comparison(output_dirs: Sequence[Path], out: Path) -> Path:
    """Write a page about several runs, all compared with the first; `out`.

    Raises:
        UserError: as `write_report`, or a run is named twice.
    """
    places = [folder.resolve() for folder in output_dirs]
    for folder, place in zip(output_dirs, places, strict=True):
        if places.count(place) > 1:
            raise UserError(f"{folder} is named twice. Compare a run with another one.")
    check_writable(out)
    comparison = Comparison([read_run(folder) for folder in output_dirs])
    return save(out, render("comparison.html", comparison=comparison))
