"""From options and a config to a submitit executor."""

from __future__ import annotations

import argparse
import os
import re
import shutil
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode
from submitit import LocalExecutor, SlurmExecutor

from timesformer.errors import UserError
from timesformer.submission.arguments import FOR_SLURM, name_of

MINUTES_OF_A_DAY = 24 * 60
MINUTES_OF_YEARS = 10 * 365 * MINUTES_OF_A_DAY

# submitit tells time-outs from preemptions by a guess, and a run may need any number of either.
MAX_NUM_TIMEOUT = 100_000

# What a shell that is itself a process of a run would pass on to the job.
OF_OTHER_RUNS = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TORCHELASTIC_RUN_ID",
)


class DistantSlurm(SlurmExecutor):
    """Writes scripts for a cluster that this machine cannot reach."""

    @classmethod
    def affinity(cls) -> int:
        return 1


def slurm_executor(args: argparse.Namespace, cfg: CfgNode, folder: Path) -> SlurmExecutor:
    """Ready to submit runs like `cfg`; `folder` is for submitit's files. Nothing is written yet.

    Raises:
        UserError: an option that sbatch could not take, or no Slurm on this machine.
    """
    if not args.dry_run and shutil.which("sbatch") is None:
        raise UserError(
            "there is no sbatch on this machine: submit from a node of a Slurm cluster, run here "
            "with --local, or look at the script with --dry_run"
        )
    check_words(args)
    executor = DistantSlurm(folder, max_num_timeout=MAX_NUM_TIMEOUT)
    executor.update_parameters(**slurm_parameters(args, cfg))
    return executor


def slurm_parameters(args: argparse.Namespace, cfg: CfgNode) -> dict[str, Any]:
    """In submitit's words: one task for each process of the run."""
    cpus = args.cpus or cfg.DATA_LOADER.NUM_WORKERS + 1
    others = other_options(args.sbatch or [])
    parameters = {name: getattr(args, name) for name in FOR_SLURM} | {
        "cpus_per_task": cpus,
        "job_name": name_of(args),
        "time": args.timeout or MINUTES_OF_A_DAY,
        "signal_delay_s": args.signal_delay,
        "nodes": cfg.NUM_SHARDS,
        "ntasks_per_node": cfg.NUM_GPUS or cfg.NUM_PROCS,
        "gpus_per_node": None if "gres" in others else cfg.NUM_GPUS or None,
        "mail_user": args.mail,
        "mail_type": "END,FAIL" if args.mail else None,
        "wckey": None,
        "additional_parameters": {"requeue": True, **others},
        "setup": [f"unset {' '.join(OF_OTHER_RUNS)}", "export PYTHONSAFEPATH=1"],
        "srun_args": [
            # which since Slurm 22.05 no longer has it from sbatch
            f"--cpus-per-task={cpus}",
            # Where one process fails, the others are ended; where it is done, they may go on.
            "--kill-on-bad-exit=1",
            "--wait=0",
        ],
    }
    for name in ("cpus", "mail", "sbatch"):
        del parameters[name]
    return parameters


def other_options(given: list[str]) -> dict[str, Any]:
    """``["reservation=x", "exclusive"]`` as names and values; True for an option without one."""
    options: dict[str, Any] = {}
    for option in given:
        name, equals, value = option.lstrip("-").partition("=")
        if not re.fullmatch(r"[a-z][a-z_-]*", name):
            raise UserError(f"--sbatch {option!r} must be OPTION=VALUE, as in reservation=x")
        options[name.replace("-", "_")] = value if equals else True
    return options


def check_words(args: argparse.Namespace) -> None:
    """UserError for words that would not stay on their line of the script, and for odd numbers."""
    for name in ("name", *FOR_SLURM):
        if any(not str(word).isprintable() for word in words_of(getattr(args, name))):
            raise UserError(f"--{name} must be one line of printable characters")
    if args.cpus is not None and args.cpus < 1:
        raise UserError(f"--cpus is {args.cpus}, but must be at least 1")


def words_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def check_times(args: argparse.Namespace) -> None:
    """UserError for a signal that would come before the run has started."""
    seconds = 60 * (MINUTES_OF_A_DAY if args.timeout is None else args.timeout)
    if not 0 < args.signal_delay < seconds:
        raise UserError(
            f"--signal_delay is {args.signal_delay} seconds and --timeout {seconds} seconds: the "
            "first must be above 0 and below the second"
        )


def script(executor: SlurmExecutor, num_runs: int) -> str:
    """What sbatch would be given."""
    if num_runs > 1:
        executor.parameters["map_count"] = num_runs
    return executor._make_submission_file_text(executor._submitit_command_str, uid="")


def local_executor(args: argparse.Namespace, cfg: CfgNode, folder: Path) -> LocalExecutor:
    """One task on this machine; the run starts its processes itself. Makes the folder.

    Raises:
        UserError: an option that only Slurm can honour, or GPUs that submitit cannot pass on.
    """
    foreign = [f"--{name}" for name in FOR_SLURM if getattr(args, name) is not None]
    if cfg.NUM_SHARDS > 1:
        foreign.append(f"--num_shards {cfg.NUM_SHARDS}")
    if foreign:
        raise UserError(f"--local cannot honour {', '.join(foreign)}: leave out one or the other")
    executor = LocalExecutor(folder, max_num_timeout=MAX_NUM_TIMEOUT)
    executor.update_parameters(
        timeout_min=args.timeout or MINUTES_OF_YEARS,
        signal_delay_s=args.signal_delay,
        gpus_per_node=cfg.NUM_GPUS,
        visible_gpus=visible_gpus(),
    )
    return executor


def visible_gpus() -> tuple[int, ...]:
    """The GPUs this process may use, by number, for submitit to choose from; () if all."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if not re.fullmatch(r"(\d+(,\d+)*)?", names):
        raise UserError(
            f"CUDA_VISIBLE_DEVICES is {names}, but --local knows GPUs by their numbers; unset it, "
            "or write it as 0,1"
        )
    return tuple(int(name) for name in names.split(",") if name)
