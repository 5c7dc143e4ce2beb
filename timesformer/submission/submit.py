"""Submit runs, or run them here in the same way."""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path

import submitit
from fvcore.common.config import CfgNode

from timesformer.config import load_config
from timesformer.config.load import pair_up
from timesformer.errors import UserError
from timesformer.submission.arguments import name_of
from timesformer.submission.executors import (
    check_times,
    local_executor,
    script,
    slurm_executor,
)
from timesformer.submission.job import TrainingJob

FILES_OF_SUBMITIT = "submitit"  # beside what the run itself writes


def submit(args: argparse.Namespace) -> None:
    """Do what the command line of tools/submit.py asks for.

    Raises:
        UserError: a wrong option or config, a job that Slurm refuses, a local run that fails.
    """
    if args.local and args.dry_run:
        raise UserError("--dry_run prints a script for Slurm, which --local does without")
    check_times(args)
    folder = job_folder(args)
    runs = configs(args, folder)
    if args.local:
        run_here(args, runs, folder / FILES_OF_SUBMITIT)
        return
    executor = slurm_executor(args, runs[0], folder / FILES_OF_SUBMITIT)
    if args.dry_run:
        print(script(executor, len(runs)), end="")
    else:
        queue(executor, runs)
        print(f"to continue it after scancel, submit it again with --job_dir {folder}")


def job_folder(args: argparse.Namespace) -> Path:
    """Where the run, or with seeds each run's own folder, lies: absolute, nothing is made.

    Raises:
        UserError: a folder that is named twice, or that Slurm would read as a pattern.
    """
    named = [value for key, value in pair_up(args.overrides) if key == "OUTPUT_DIR"]
    if args.job_dir and named:
        raise UserError(
            f"--job_dir {args.job_dir} is the OUTPUT_DIR, which is also given as {named[-1]}; "
            "leave one of them out"
        )
    automatic = f"runs/{name_of(args)}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path(args.job_dir or (named[-1] if named else automatic)).expanduser().absolute()
    if "%" in str(folder) or not str(folder).isprintable():
        raise UserError(
            f"--job_dir {folder} has a % or a control character in it, and Slurm, which writes "
            "logs there, would read it as a pattern; choose another folder"
        )
    return folder


def configs(args: argparse.Namespace, folder: Path) -> list[CfgNode]:
    """The config of each run: one, or one for each seed."""
    if len(set(args.seeds)) != len(args.seeds):
        raise UserError(f"--seeds {args.seeds} has a seed twice: both would write to one folder")
    if not args.seeds:
        return [load_config(args.cfg, [*options(args), "OUTPUT_DIR", str(folder)])]
    return [
        load_config(
            args.cfg,
            [*options(args), "OUTPUT_DIR", str(folder / f"seed_{seed}"), "RNG_SEED", seed],
        )
        for seed in args.seeds
    ]


def options(args: argparse.Namespace) -> list[object]:
    """KEY VALUE pairs of the command line; its options win."""
    named = {
        "NUM_SHARDS": args.num_shards,
        "NUM_GPUS": args.num_gpus,
        "TRAIN.CHECKPOINT_FILE_PATH": args.resume_from,
    }
    given = {key: value for key, value in named.items() if value is not None}
    return [*args.overrides, *(item for pair in given.items() for item in pair)]


def queue(executor: submitit.SlurmExecutor, runs: list[CfgNode]) -> None:
    """One job, or an array of several."""
    try:
        with executor.batch():
            jobs = [executor.submit(TrainingJob(cfg)) for cfg in runs]
    except submitit.core.utils.FailedJobError as error:
        raise UserError(f"Slurm refused the job: {str(error).strip()}") from error
    for job, cfg in zip(jobs, runs, strict=True):
        print(f"job {job.job_id}: OUTPUT_DIR {cfg.OUTPUT_DIR}, output in {job.paths.stdout}")


def run_here(args: argparse.Namespace, runs: list[CfgNode], folder: Path) -> None:
    """One run after another, as submitit's local jobs."""
    executor = local_executor(args, runs[0], folder)
    # Ctrl-C reaches every process of this terminal. The run obeys it: it saves its state and ends.
    # What stands between the run and this process would kill it meanwhile; it is made to ignore it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for cfg in runs:
            wait_for(executor.submit(TrainingJob(cfg)), cfg)
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for(job: submitit.Job[None], cfg: CfgNode) -> None:
    print(f"running: OUTPUT_DIR {cfg.OUTPUT_DIR}, output in {job.paths.stdout}", flush=True)
    if job.exception() is None:
        return
    errors = (job.stderr() or "").strip().splitlines() or ["it was stopped"]
    raise UserError(f"the run has not finished: {errors[-1]} (all of it: {job.paths.stderr})")
