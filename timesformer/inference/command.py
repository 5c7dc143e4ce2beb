"""What tools/predict.py does: videos, their features, a camera; timelines.py does windows."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from timesformer.annotations.places import IMAGE_EXTENSIONS, exists
from timesformer.annotations.tree import find_videos
from timesformer.checkpoints.atomic import check_writable, writing
from timesformer.datasets.batch import Failure
from timesformer.errors import UserError
from timesformer.inference.arguments import predictor_of, split_off_overrides
from timesformer.inference.texts import FORMATS, as_text, format_for, table
from timesformer.inference.timelines import write_timelines
from timesformer.progress import progress

if TYPE_CHECKING:
    from timesformer.inference.kept import KeptRows
    from timesformer.inference.predictor import Prediction, Predictor

TOP_K = 5


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for.

    Raises:
        UserError: a mistake in it; or, at the end, how many videos cannot be read.
        KeyboardInterrupt: with words on how to go on, if there is something to go on from.
    """
    paths, overrides = split_off_overrides(args.videos)
    check(args, paths)
    args.top_k = args.top_k or TOP_K
    videos = found(paths)
    predictor = predictor_of(args, overrides)
    if args.camera is not None:
        watch_camera(predictor, args)
        return
    if args.features:
        failed = write_features(predictor, videos, Path(args.out), args.features)
    elif args.windows:
        failed = write_timelines(predictor, videos, args)
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
        (args.top_k and (args.features or args.camera), "--top-k is of videos and --windows"),
        (args.top_k is not None and args.top_k < 1, "--top-k must be at least 1"),
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
    of_texts = args.out and not (args.features or args.windows or args.format)
    if of_texts and Path(args.out).suffix.lower() not in FORMATS:
        raise UserError(
            f"--out is '{args.out}': predictions go to a file in {', '.join(FORMATS)}; for another "
            "name, say its --format."
        )


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
