"""A JSON file and a picture for the timeline of each video; what is there already stays."""

from __future__ import annotations

import argparse
import json
import os
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timesformer.checkpoints.atomic import check_writable, writing
from timesformer.datasets.batch import Failure
from timesformer.errors import UnreadableVideo, UserError
from timesformer.inference.texts import table, timeline_object
from timesformer.inference.timeline_picture import save_timeline
from timesformer.progress import progress

if TYPE_CHECKING:
    from timesformer.inference.predictor import Predictor, Timeline


def write_timelines(predictor: Predictor, videos: list[str], args: argparse.Namespace) -> int:
    """A JSON file and a picture for each video; returns how many videos cannot be read."""
    from timesformer.inference.kept import content_of, settings_of

    asked = {"window": args.windows, "stride": args.stride, "top_k": args.top_k}
    of_all = settings_of(predictor.trained, "timeline") | asked
    out = args.out or predictor.trained.folder / "timelines"
    targets = timeline_files(videos, out)
    for target in targets:
        check_writable(target)
        check_writable(target.with_suffix(".png"))
    failed = 0
    for video, target in zip(videos, targets, strict=True):
        settings = of_all | {"video": content_of(video)}
        if is_made(target, settings):
            print(target, "is there already")
            continue
        try:
            write_timeline(predictor, video, target, settings)
        except UnreadableVideo as error:
            failed += 1
            print(table(Failure(error.path, error.reason), 0), end="")
    return failed


def timeline_files(videos: list[str], out: str | Path) -> list[Path]:
    """The JSON file for each video: `out` itself, or in the folder `out` as the videos lie."""
    if Path(out).suffix in (".json", ".png"):
        if len(videos) > 1:
            raise UserError(f"--out is '{out}', but for {len(videos)} videos it must be a folder.")
        return [Path(out).with_suffix(".json")]
    places = [os.path.abspath(video) for video in videos]
    common = os.path.commonpath([os.path.dirname(place) for place in places])
    names = [os.path.relpath(place, common) for place in places]
    return [Path(out, f"{name}.json") for name in names]


def is_made(out: Path, settings: dict[str, Any]) -> bool:
    from timesformer.inference.kept import changed

    try:
        then = json.loads(out.read_text())["settings"]
        is_same = not changed(then, settings)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False  # none, or the file of something else
    return is_same and out.with_suffix(".png").is_file()


def write_timeline(predictor: Predictor, video: str, out: Path, settings: dict[str, Any]) -> None:
    with progress(0, Path(video).name[-30:], unit="window") as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        timeline = predictor.timeline(video, settings["window"], settings["stride"], tell=tell)
    print(as_lines(timeline))
    content = timeline_object(timeline, settings["top_k"]) | {"settings": settings}
    picture = out.with_suffix(".png")
    save_timeline(picture, timeline)
    with writing(out) as file:  # the last: that it is there tells that both are
        file.write((json.dumps(content, indent=1) + "\n").encode())
    print("wrote", out, picture)


def as_lines(timeline: Timeline) -> str:
    """The video, then a line for each stretch of windows with the same class."""
    lines = [timeline.path]
    rows = zip(timeline.scores, timeline.readable, strict=True)
    best = [int(scores.argmax()) if is_readable else None for scores, is_readable in rows]
    for label, group in groupby(range(len(best)), key=lambda window: best[window]):
        windows = list(group)
        start, end = timeline.moments[windows[0], 0], timeline.moments[windows[-1], 1]
        name = "cannot be read" if label is None else timeline.names[label]
        lines.append(f"{start:9.1f} to {end:6.1f} s  {name}")
    return "\n".join(lines)
