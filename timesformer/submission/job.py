"""What submitit pickles, sends to each process of a job, and calls there."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode
from submitit import JobEnvironment
from submitit.helpers import DelayedSubmission

from timesformer.config.defaults import KEYS
from timesformer.distributed.slurm import goes_back
from timesformer.errors import Interrupted

# More than Slurm takes to notice that a node does not answer (SlurmdTimeout, usually 300).
SECONDS_TO_NOTICE = 900


class TrainingJob:
    """A run. It keeps the value of every key, so that a YAML file may change while it waits."""

    def __init__(self, cfg: CfgNode) -> None:
        self.settings = [item for name in KEYS for item in (name, attrgetter(name)(cfg))]

    def __call__(self) -> None:
        """Run, or continue, in this process, one of those that Slurm started.

        Raises:
            SystemExit: the run was stopped by a signal. It leaves no result behind, by which
                submitit would take the job for ended.
        """
        environment = JobEnvironment()
        discard(environment.paths.result_pickle)
        requeue = signal.getsignal(environment._usr_sig())
        # Imported late: what submits a job needs no torch.
        from timesformer.config import load_config
        from timesformer.engine.run import start

        cfg = load_config(opts=self.settings)
        try:
            start(cfg)
        except Interrupted as stop:
            name = signal.Signals(stop.signum).name
            back = goes_back(name, cfg.TRAIN.REQUEUE_SIGNALS, os.environ)
            if environment.global_rank == 0 and back:
                assert callable(requeue), "submitit sets a handler before it calls a job"
                put_back(environment, stop.signum, requeue)
            sys.exit(128 + stop.signum)
        except Exception as error:
            if environment.num_nodes > 1 and has_lost_another(error):
                await_slurm(error)
            raise

    def checkpoint(self) -> DelayedSubmission:
        """The same again: what has been learnt lies in OUTPUT_DIR."""
        return DelayedSubmission(self)


def put_back(environment: JobEnvironment, signum: int, requeue: Callable[..., Any]) -> None:
    """Have submitit's own handler requeue the job, now that nothing can be lost; it exits."""
    # submitit refuses to go on where it was once killed while it wrote this.
    discard(environment.paths.submitted_pickle.with_suffix(".pkl.save_tmp"))
    requeue(signum, None)


def discard(path: Path) -> None:
    path.unlink(missing_ok=True)


def has_lost_another(error: BaseException | None) -> bool:
    """Whether this process failed because another one, or its node, is gone."""
    from timesformer.distributed.watch import is_lost_connection

    while error is not None and not is_lost_connection(error):
        error = error.__cause__
    return error is not None


def await_slurm(error: Exception) -> None:
    """Stay until Slurm ends this process, as it does when it notices that a node is lost.

    Then it requeues the job. To leave before would end the job, with a result that tells submitit
    that it is over.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # which submitit ignores
    print(f"{error}\nWaiting for Slurm to requeue the job, if that was a node.", file=sys.stderr)
    sys.stderr.flush()
    time.sleep(SECONDS_TO_NOTICE)
