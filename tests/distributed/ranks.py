"""A small run over several processes, in which rank 1 meets with something at step 3.

Also a script: ``python -m tests.distributed.ranks KEY VALUE...``, for torchrun and other machines.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from timesformer.config import load_config
from timesformer.distributed.launch import launch, plan_run
from timesformer.distributed.process import Process, gather, total
from timesformer.errors import Interrupted, UserError

WHAT, STEPS = "TEST_RANKS_WHAT", "TEST_RANKS_STEPS"
SUSPENDED = 6  # seconds


def kill(signum: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), signum)


def suspend_all() -> None:
    """As Slurm suspends a job: every process stops, and goes on after a while."""
    pids = " ".join(str(child.pid) for child in psutil.Process(os.getppid()).children())
    subprocess.Popen(["sh", "-c", f"kill -STOP {pids}; sleep {SUSPENDED}; kill -CONT {pids}"])


WHAT_HAPPENS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "it dies": kill(signal.SIGKILL),
    "it is stopped": kill(signal.SIGSTOP),
    "it hangs": lambda: time.sleep(1000),
    "all are suspended": suspend_all,
}


def run(cfg, process: Process) -> None:
    for step in range(int(os.environ.get(STEPS, "6"))):
        process.watch.at(f"step {step}")
        assert total(torch.ones(1)).item() == process.world_size
        time.sleep(0.1)
        is_first = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
        if step == 3 and process.rank == 1 and is_first:
            WHAT_HAPPENS[os.environ.get(WHAT, "")]()
        Path(cfg.OUTPUT_DIR, f"rank {process.rank}").write_text(f"{os.getpid()} {step}")
    Path(cfg.OUTPUT_DIR, f"rank {process.rank}").write_text(f"{gather(process.rank)}")
    listening(cfg, process)


def listening(cfg, process: Process) -> None:
    """Write down where this process and the one that started it listen."""
    found, starter = [], multiprocessing.parent_process()
    for who in (psutil.Process(), psutil.Process(starter.pid if starter else os.getppid())):
        found += [c.laddr.ip for c in who.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    Path(cfg.OUTPUT_DIR, f"listens {process.rank}").write_text(" ".join(found))


def main() -> None:
    cfg = load_config(None, ["NUM_GPUS", 0, *sys.argv[1:]])
    try:
        launch(run, cfg, plan_run(cfg, os.environ))
    except UserError as error:
        sys.exit(f"error: {error}")
    except Interrupted as interruption:
        sys.exit(128 + interruption.signum)


if __name__ == "__main__":
    main()
