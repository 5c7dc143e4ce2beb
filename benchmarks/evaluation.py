"""How long does a test of three crops take, against decoding the video for every view by itself?

    python -m benchmarks.evaluation                        # videos of its own making
    python -m benchmarks.evaluation --videos FOLDER A.mp4  # those, and prepared for training

Ours is the engine's own test of a list of videos. The other procedure is the released code's, with
the same network, weights and float32: for every view it opens the video, decodes its span, converts
all frames, resizes in float, and scores the view alone. Once more with our resizing it must give
the same scores. One process, one thread, on a CPU, in turns. Prints Markdown; JSON with --output.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, which reads it once

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks import machine
from benchmarks.command import parser_of, write_json
from benchmarks.separate_views import OUR_ARITHMETIC, RELEASED_ARITHMETIC, Clip, scores_by_view
from benchmarks.videos import made_hd_video, made_videos, prepared
from timesformer.annotations.places import VIDEO_EXTENSIONS
from timesformer.config import load_config
from timesformer.distributed.process import Process
from timesformer.engine.build import build_testing
from timesformer.engine.evaluate import predict
from timesformer.engine.test import Testing, test
from timesformer.logs import Silent
from timesformer.models.build import build_model

PACKAGES = ("av", "opencv-python-headless")
FRAMES, RATE, VIEWS = 8, 32, 3
EQUAL = 1e-4  # the most by which scores may differ that are sums of the same numbers
OURS, COMPILED, READING = "ours", "ours, compiled", "ours, reading alone"
RELEASED = "every view by itself, as released"
SAME = "every view by itself, our resizing"

Settings = dict[str, Any]
MODELS: dict[str, Settings] = {
    "tiny, 8 x 112": {"MODEL.MODEL_NAME": "timesformer_tiny", "DATA.TEST_CROP_SIZE": 112},
    "tiny, 8 x 224": {"MODEL.MODEL_NAME": "timesformer_tiny", "DATA.TEST_CROP_SIZE": 224},
    "small, 8 x 224": {"MODEL.MODEL_NAME": "timesformer_small", "DATA.TEST_CROP_SIZE": 224},
    "base, 8 x 224": {"MODEL.MODEL_NAME": "timesformer_base", "DATA.TEST_CROP_SIZE": 224},
}
SMALLEST: Settings = {
    "MODEL.MODEL_NAME": "TimeSformer",
    "TIMESFORMER.EMBED_DIM": 32,
    "TIMESFORMER.DEPTH": 2,
    "TIMESFORMER.NUM_HEADS": 2,
    "DATA.TEST_CROP_SIZE": 32,
}
FIRST_VALUES: Settings = {  # of which every one matters to the scores
    "TIMESFORMER.TEMPORAL_FC_ZERO_INIT": False,
    "TIMESFORMER.TIME_EMBED_STD": 0.02,
}


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    models = {"smallest": SMALLEST} if arguments.smallest else MODELS
    chosen = {name: models[name] for name in arguments.models or models}
    report: dict[str, Any] = {
        "machine": machine.facts(torch.device("cpu"), PACKAGES),
        "repetitions": arguments.repetitions,
        "sets": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for kind, videos in sets_of(arguments.videos, Path(folder)).items():
            report["sets"][kind] = {
                "videos": len(videos),
                "models": {
                    name: measured(f"{kind}: {name}", videos, settings, arguments, Path(folder))
                    for name, settings in chosen.items()
                },
            }
    print(markdown(report))
    write_json(arguments.output, report)


def parse_arguments() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--videos", nargs="+", type=Path, help="files, or folders of them")
    parser.add_argument("--models", nargs="+", choices=MODELS, help="only these")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--compiled", action="store_true", help="also with TRAIN.COMPILE model")
    parser.add_argument("--smallest", action="store_true", help="a network that takes seconds")
    return parser.parse_args()


def sets_of(named: Sequence[Path] | None, folder: Path) -> dict[str, list[Path]]:
    """The videos as they come, and as `tools/prepare_dataset.py` writes them."""
    videos = list(files_of(named)) if named else list(made_videos(folder).values())
    sets = {"as they come": videos, "prepared": all_prepared(videos, folder)}
    return sets if named else sets | {"1280 x 720": [made_hd_video(folder)]}


def all_prepared(videos: Sequence[Path], folder: Path) -> list[Path]:
    ready = []
    for number, video in enumerate(videos):
        place = folder / f"prepared{number}"
        place.mkdir()
        ready.append(prepared(video, place))
    return ready


def files_of(named: Sequence[Path]) -> Iterator[Path]:
    for path in named:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        yield from (file for file in inside if file.suffix.lower() in VIDEO_EXTENSIONS)


def measured(
    title: str, videos: list[Path], settings: Settings, arguments: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Seconds of a video in every way, once the scores are found to be the same."""
    print(title, file=sys.stderr)
    run, network = testing(videos, settings, folder)
    clips = [Clip.of(str(video), FRAMES, RATE) for video in videos]
    side = settings["DATA.TEST_CROP_SIZE"]
    ways: dict[str, Callable[[], object]] = {
        OURS: partial(tested, run),
        READING: partial(read, run),
        RELEASED: partial(scores_by_view, network, clips, side, RELEASED_ARITHMETIC),
        SAME: partial(scores_by_view, network, clips, side, OUR_ARITHMETIC),
    }
    if arguments.compiled:
        compiled, _ = testing(videos, settings | {"TRAIN.COMPILE": "model"}, folder)
        ways[COMPILED] = partial(tested, compiled)
    agreement = agreed({name: way() for name, way in ways.items()})
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.repetitions):
        for name, way in ways.items():
            start = time.process_time()
            way()
            seconds[name].append((time.process_time() - start) / len(videos))
    return {"agreement": agreement, **summary(seconds)}


def testing(videos: list[Path], settings: Settings, folder: Path) -> tuple[Testing, nn.Module]:
    """A test of the engine that has been run once, and the same network without any of it."""
    lines = [f"{video.resolve()} {number % 2}\n" for number, video in enumerate(videos)]
    (folder / "test.csv").write_text("".join(lines), encoding="utf-8")
    common = {
        "DATA.PATH_TO_DATA_DIR": str(folder),
        "DATA.NUM_FRAMES": FRAMES,
        "DATA.SAMPLING_RATE": RATE,
        "DATA.TRAIN_CROP_SIZE": settings["DATA.TEST_CROP_SIZE"],
        "TEST.NUM_ENSEMBLE_VIEWS": 1,
        "TEST.NUM_SPATIAL_CROPS": VIEWS,
        "TEST.BATCH_SIZE": 2 * VIEWS,
        "TEST.CHECKPOINT_FILE_PATH": str(folder / "weights.pyth"),
        "OUTPUT_DIR": str(folder),
        "NUM_GPUS": 0,
        "DATA_LOADER.NUM_WORKERS": 0,
    }
    merged = common | FIRST_VALUES | settings
    cfg = load_config(None, [item for pair in merged.items() for item in pair])
    torch.manual_seed(0)
    network = build_model(cfg).eval()
    state = {"epoch": 0, "model_state": network.state_dict(), "geometry": network.geometry}
    torch.save(state, folder / "weights.pyth")
    run = build_testing(cfg, Process(), Silent())
    test(run)
    return run, network


def tested(run: Testing) -> Tensor:
    """The scores of all videos, (n, K)."""
    run.feed.start()
    scores = predict(run.final_form(run.scorer), run.feed, tqdm(disable=True))
    assert scores is not None
    return scores.scores


def read(run: Testing) -> None:
    for index in range(len(run.dataset)):
        run.dataset[index]


def agreed(outcomes: Mapping[str, object]) -> dict[str, dict[str, float]]:
    """How far each way's scores are from ours; AssertionError where they should be the same."""
    scores = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Tensor)}
    ours = scores.pop(OURS)
    found = {
        name: {
            "largest_difference": float((ours - other).abs().max()),
            "same_class": float(np.mean((ours.argmax(1) == other.argmax(1)).numpy())),
        }
        for name, other in scores.items()
    }
    for name in (SAME, COMPILED):
        if name in found:
            off = found[name]["largest_difference"]
            assert off <= EQUAL, f"{name}: scores are off by {off}"
    return found


def summary(seconds: Mapping[str, list[float]]) -> dict[str, Any]:
    """Medians in seconds of a video; and how many times as fast ours is, within a repetition."""
    return {
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "times_ours": {
            name: statistics.median(a / b for a, b in zip(values, seconds[OURS], strict=True))
            for name, values in seconds.items()
        },
    }


def markdown(report: dict[str, Any]) -> str:
    lines = [
        machine.words(report["machine"]),
        "",
        "| a video, 3 crops | ours, s | reading | compiled, s | as released, s | times ours | "
        "scores off by | same class | our resizing: off by |",
        "|---|" + "---:|" * 8,
    ]
    for kind, group in report["sets"].items():
        lines += [line(f"{kind}: {name}", own) for name, own in group["models"].items()]
    return "\n".join(lines)


def line(name: str, own: dict[str, Any]) -> str:
    seconds, released = own["seconds"], own["agreement"][RELEASED]
    cells = [
        f"{seconds[OURS]:.3g}",
        f"{seconds[READING] / seconds[OURS]:.0%}",
        f"{seconds[COMPILED]:.3g}" if COMPILED in seconds else "",
        f"{seconds[RELEASED]:.3g}",
        f"{own['times_ours'][RELEASED]:.2f}",
        f"{released['largest_difference']:.0e}",
        f"{released['same_class']:.0%}",
        f"{own['agreement'][SAME]['largest_difference']:.0e}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
