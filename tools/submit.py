#!/usr/bin/env python3
"""Submit a training run to a Slurm cluster, or run it here in the same way.

python tools/submit.py --cfg configs/Kinetics/TimeSformer_divST_8x32_224.yaml --num_shards 4
python tools/submit.py --cfg X.yaml --job_dir runs/mine --seeds 0 1 2 --dry_run SOLVER.BASE_LR 0.01
"""

from __future__ import annotations

from timesformer.door import door
from timesformer.submission.arguments import parse_args


def main() -> None:
    args = parse_args()
    with door():
        # Imported late: --help and a mistake in the options are answered at once.
        from timesformer.submission.submit import submit

        submit(args)


if __name__ == "__main__":
    main()
