#!/usr/bin/env python3
"""What a trained model says of your videos.

python tools/predict.py clips/ my.mp4 --checkpoint outputs/run --out predictions.csv
python tools/predict.py long.mp4 --checkpoint outputs/run --windows 4 --out timeline.json
python tools/predict.py clips/ --checkpoint outputs/run --features cls --out features.npz
python tools/predict.py --camera 0 --checkpoint outputs/run
"""

from __future__ import annotations

import argparse

from timesformer.door import door
from timesformer.inference.arguments import add_model


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Predict the classes of videos with the views of the config's test.",
        epilog="Ends with status 1 if a video cannot be read; the others are done all the same. "
        "With --out, a run that was interrupted continues.",
    )
    add = parser.add_argument
    add(
        "videos",
        nargs="*",
        metavar="VIDEO_OR_FOLDER",
        help="files, folders of videos or of frames; then KEY VALUE pairs of the config",
    )
    add_model(parser)
    add("--top-k", type=int, metavar="K", help="classes of each video (5)")
    add("--format", choices=("table", "json", "csv"), help="by the ending of --out, or table")
    add("--out", metavar="FILE", help="file, or folder for --windows (the run's timelines)")
    add("--windows", type=float, metavar="SECONDS", help="a timeline of windows: JSON and PNG")
    add("--stride", type=float, metavar="SECONDS", help="from window to window (half a window)")
    add("--features", choices=("cls", "tokens"), help="embeddings, to --out .npz or .safetensors")
    add("--camera", metavar="SOURCE", help="camera number, rtsp or http address, or file")
    add("--seconds", type=float, help="how long to watch the camera (until Ctrl-C)")
    return parser.parse_intermixed_args()


def main() -> None:
    args = parse_args()
    with door():
        # Imported late, so that --help is fast.
        from timesformer.inference.command import run

        run(args)


if __name__ == "__main__":
    main()
