"""What tools/predict.py does: videos, windows of them, their features, a camera."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from timesformer.annotations.places import IMAGE_EXTENSIONS, exists
from timesformer.annotations.tree import find_videos
from timesformer.checkpoints.atomic import check_writable, writing
from timesformer.datasets.batch import Failure
from timesformer.errors import UnreadableVideo, UserError
from timesformer.inference.arguments import predictor_of, split_off_overrides
from timesformer.inference.texts import as_text, format_for, table, timeline_object
from timesformer.progress import progress

if TYPE_CHECKING:
    from timesformer.inference.kept import KeptRows
    from timesformer.inference.predictor import Prediction, Predictor, Timeline

Draw = Callable[[Path, "Timeline"], None]


def run(args: argparse.Namespace, draw: Draw) -> None:
    """Do what the command line asks for; `draw` writes the picture of a timeline.

    Raises:
        UserError: a mistake in it; or, at the end, how many videos cannot be read.
        KeyboardInterrupt: with words on how to go on, if there is something to go on from.
    """
    paths, overrides = split_off_overrides(args.videos)
    check(args, paths)
    videos = found(paths)
    predictor = predictor_of(args, overrides)
    if args.camera is not None:
        watch_camera(predictor, args)
        return
    if args.features:
        failed = write_features(predictor, videos, Path(args.out), args.features)
    elif args.windows:
        failed = write_timelines(predictor, videos, args, draw)
    elif args.out:
        failed = write_predictions(predictor, videos, args)
    else:
        failed = say_predictions(predictor, videos, args)
    if failed:
        raise UserError(f"{failed} of {len(videos)} videos cannot be read, as said above.")


def check(args: argparse.Namespace, paths: Sequence[str]) -> None:
    """UserError if options are missing, or would be of no use."""
    rules = (
        (bool(paths) == (args.camera is not None), "Name videos or folders, or a --camera"),
        (args.features and not args.out, "--features needs --out FILE.npz or FILE.safetensors"),
        (args.features and (args.windows or args.camera), "--features is of whole videos"),
        (args.format and (args.features or args.windows or args.camera), "--format is of videos"),
        (args.out and args.camera, "--camera prints what it sees, and writes no --out"),
        (args.seconds and args.camera is None, "--seconds is of a --camera"),
        (args.stride and not args.windows and args.camera is None, "--stride is of --windows"),
        (args.top_k < 1, "--top-k must be at least 1"),
    )
    for is_wrong, words in rules:
        if is_wrong:
            raise UserError(f"{words}.")
    for name in ("windows", "stride", "seconds"):
        if (value := getattr(args, name)) is not None and not 0 < value < math.inf:
            raise UserError(f"--{name} is {value:g}, but must be above 0 seconds and finite.")
    if args.features and Path(args.out).suffix not in (".npz", ".safetensors"):
        raise UserError(f"--out is '{args.out}': features go to a .npz or .safetensors file.")
    if args.out and not args.windows:  # which may go to a folder
        check_writable(Path(args.out))


def found(paths: Sequence[str]) -> list[str]:
    """The videos that are named, and those below the folders that are, each once."""
    videos: list[str] = []
    for path in paths:
        if not exists(path):
            raise UserError(f"There is no video or folder '{path}'.")
        videos += below(path) if os.path.isdir(path) else [path]
    return list(dict.fromkeys(videos))


def below(folder: str) -> list[str]:
    """The videos below a folder, or itself if it holds the frames of one."""
    there = find_videos(folder)
    if there.videos:
        return [os.path.join(folder, video) for video in there.videos]
    if any(there.ignored[extension] for extension in IMAGE_EXTENSIONS):
        return [folder]
    raise UserError(f"There is no video in the folder '{folder}'.")


def say_predictions(predictor: Predictor, videos: list[str], args: argparse.Namespace) -> int:
    """Print them; returns how many videos cannot be read."""
    form = format_for(args.format, None)
    results: list[Prediction | Failure] = []
    with progress(len(videos), "predict") as bar:
        for result in predictor.many(videos):
            results.append(result)
            if form == "table":
                say(table(result, args.top_k))
            bar.update()
    if form != "table":
        print(as_text(results, form, args.top_k), end="")
    return sum(isinstance(result, Failure) for result in results)


def say(text: str) -> None:
    """Print, above the bar where there is one."""
    if sys.stderr.isatty():
        tqdm.write(text, end="")
    else:
        print(text, end="", flush=True)


def write_predictions(predictor: Predictor, videos: list[str], args: argparse.Namespace) -> int:
    """Write them to a file, whole; returns how many videos cannot be read."""
    out = Path(args.out)
    num_views = predictor.dataset_of([]).num_views
    with gathered(predictor, videos, out, "scores") as (kept, reasons):
        rows = dict(zip(kept.done, kept.values(), strict=True))
        results = [
            predictor.prediction(video, rows[index], num_views)
            if index in rows
            else Failure(video, reasons[video])
            for index, video in enumerate(videos)
        ]
        text = as_text(results, format_for(args.format, out), args.top_k)
        with writing(out) as file:
            file.write(text.encode(errors="backslashreplace"))
    print("wrote", out)
    return len(reasons)


def write_features(predictor: Predictor, videos: list[str], out: Path, what: str) -> int:
    """``videos`` (n,), ``features`` float32 (n, …) and ``settings``, what they depend on, as JSON.

    Returns how many videos cannot be read.
    """
    from timesformer.inference.kept import settings_of

    with gathered(predictor, videos, out, what) as (kept, reasons):
        done = [videos[index] for index in kept.done]
        if not done:
            raise UserError("None of the videos can be read, as said above: nothing is written.")
        values = kept.values()
        settings = json.dumps(settings_of(predictor.trained, what))
        with writing(out) as file:
            if out.suffix == ".npz":
                names = np.array(done, dtype=np.str_)
                np.savez(file, videos=names, features=values, settings=np.array(settings))
            else:
                file.write(as_safetensors(done, values, settings))
    print(f"wrote {out}: features {' x '.join(map(str, values.shape))}")
    return len(reasons)


def as_safetensors(videos: list[str], values: np.ndarray, settings: str) -> bytes:
    """The tensor ``features``, and ``videos`` and ``settings`` as JSON in the metadata."""
    from safetensors.numpy import save

    about = {"videos": json.dumps(videos), "settings": settings}
    return save({"features": np.ascontiguousarray(values)}, about)


@contextmanager
def gathered(
    predictor: Predictor, videos: list[str], out: Path, what: str
) -> Iterator[tuple[KeptRows, dict[str, str]]]:
    """Values of all videos, those of an interrupted run included; and why others have none.

    What was kept beside `out` goes when the caller has written that.
    """
    from timesformer.inference.kept import KeptRows, settings_of

    asked = predictor.dataset_of(videos).videos
    with KeptRows(out, settings_of(predictor.trained, what), asked) as kept:
        yield kept, gather(predictor, videos, kept, what)
        kept.discard()


def gather(predictor: Predictor, videos: list[str], kept: KeptRows, what: str) -> dict[str, str]:
    """Add the values that `kept` lacks; returns the reasons of videos that cannot be read."""
    reasons = {}
    waiting = kept.waiting
    dataset = predictor.dataset_of([videos[index] for index in waiting])
    if known := len(videos) - len(waiting):
        print(f"{known} videos are known from before")
    with progress(len(videos), "predict" if what == "scores" else "features") as bar:
        bar.update(known)
        for outcome in predictor.outcomes(dataset, what) if waiting else ():
            if outcome.values is None:
                reasons[outcome.path] = outcome.reason
                say(table(Failure(outcome.path, outcome.reason), 0))
            else:
                kept.add(waiting[outcome.index], outcome.values)
            bar.update()
    return reasons


def write_timelines(
    predictor: Predictor, videos: list[str], args: argparse.Namespace, draw: Draw
) -> int:
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
            write_timeline(predictor, video, target, settings, draw)
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


def write_timeline(
    predictor: Predictor, video: str, out: Path, settings: dict[str, Any], draw: Draw
) -> None:
    with progress(0, Path(video).name[-30:], unit="window") as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        timeline = predictor.timeline(video, settings["window"], settings["stride"], tell=tell)
    print(as_lines(timeline))
    content = timeline_object(timeline, settings["top_k"]) | {"settings": settings}
    picture = out.with_suffix(".png")
    draw(picture, timeline)
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


def watch_camera(predictor: Predictor, args: argparse.Namespace) -> None:
    """Print the likeliest class of the last seconds, until Ctrl-C, --seconds or the end."""
    from timesformer.inference.stream import watch
    from timesformer.inference.windows import clip_seconds

    window = args.windows or clip_seconds(predictor.dataset_of([]).sampling) or 2.0
    stride = args.stride or window / 2
    print(f"the last {window:g} s, every {stride:g} s; Ctrl-C stops", flush=True)
    seconds = args.seconds or float("inf")
    for now, prediction in watch(
        predictor, args.camera, window=window, stride=stride, seconds=seconds
    ):
        best = prediction.top(1)[0]
        print(f"{now:7.1f} s  {100 * best.probability:6.2f} %  {best.name}", flush=True)
