"""The command line of tools/submit.py; imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

# What only Slurm can honour. Each is None unless it is given.
FOR_SLURM = (
    "partition",
    "account",
    "qos",
    "constraint",
    "exclude",
    "cpus",
    "mem",
    "comment",
    "mail",
    "sbatch",
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Submit a run to Slurm. Preempted or out of time, it saves its state, is "
        "requeued and continues.",
        epilog="Every key with its meaning: timesformer/config/defaults.py",
        allow_abbrev=False,
    )
    _add_run(parser)
    _add_slurm(parser)
    args = parser.parse_intermixed_args(argv)
    # An option that takes a list also swallows the KEY VALUE pairs that follow it.
    seeds = list(takewhile(str.isdigit, args.seeds))
    args.overrides = [*args.seeds[len(seeds) :], *args.overrides]
    args.seeds = [int(seed) for seed in seeds]
    return args


def name_of(args: argparse.Namespace) -> str:
    """The job's name."""
    return str(args.name or Path(args.cfg).stem)


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--cfg", required=True, metavar="FILE", help="YAML file")
    add(
        "--job_dir",
        default="",
        metavar="DIR",
        help="OUTPUT_DIR of the run, which all nodes can see (runs/NAME-DATE-TIME)",
    )
    add("--name", default="", help="name of the job (that of the YAML file)")
    add("--num_shards", type=int, metavar="N", help="nodes (NUM_SHARDS)")
    add("--num_gpus", type=int, metavar="N", help="GPUs on each node (NUM_GPUS)")
    add(
        "--seeds",
        nargs="+",
        default=[],
        metavar="SEED",
        help="a job array: a run for each RNG_SEED, in DIR/seed_SEED",
    )
    add("--resume-from", metavar="FILE", help="checkpoint (TRAIN.CHECKPOINT_FILE_PATH)")
    add(
        "--timeout",
        type=int,
        metavar="MINUTES",
        help="after which it makes room and is requeued (1440; with --local for ever)",
    )
    add(
        "--signal_delay",
        type=int,
        default=120,
        metavar="SECONDS",
        help="before that, for finishing a step and saving (%(default)s)",
    )
    add("--local", action="store_true", help="run it on this machine instead, and wait for it")
    add("--dry_run", action="store_true", help="print the sbatch script, and do nothing")
    add("overrides", nargs="*", metavar="KEY VALUE", help="keys that win over the file")


def _add_slurm(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Slurm", "as sbatch has them; left out, the cluster decides")
    add = group.add_argument
    add("--partition")
    add("--account")
    add("--qos")
    add("--constraint", metavar="FEATURES", help="what nodes must have")
    add(
        "--use_volta32",
        dest="constraint",
        action="store_const",
        const="volta32gb",
        help="--constraint volta32gb",
    )
    add("--exclude", metavar="NODES")
    add(
        "--cpus",
        type=int,
        metavar="N",
        help="cores of each process (DATA_LOADER.NUM_WORKERS and one)",
    )
    add("--mem", metavar="SIZE", help="memory of each node, as 400G")
    add("--comment")
    add("--mail", metavar="USER", help="who is told when the job ends or fails")
    add(
        "--sbatch",
        action="append",
        metavar="OPTION=VALUE",
        help="any other option of sbatch, as reservation=x or gres=gpu:a100:8; repeatable",
    )
