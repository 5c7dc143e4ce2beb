#!/usr/bin/env python3
"""What a trained model looks at, and which videos it takes for alike.

python tools/visualize.py attention my.mp4 --checkpoint outputs/run
python tools/visualize.py attention my.mp4 --checkpoint outputs/run --raw --layer -1
python tools/visualize.py embeddings --checkpoint outputs/run --method umap
python tools/visualize.py neighbours my.mp4 --checkpoint outputs/run --features embeddings_test.npz
"""

from __future__ import annotations

from timesformer.door import door
from timesformer.visualization.arguments import parse_args


def main() -> None:
    args = parse_args("Pictures of what a trained model looks at, and of what it takes for alike.")
    with door():
        # Imported late, so that --help is fast.
        from timesformer.visualization.command import run

        run(args)


if __name__ == "__main__":
    main()
