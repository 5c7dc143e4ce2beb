"""A step of Slurm, as its tasks see it in their environment, and the way back into the queue.

Only `srun` starts steps. The batch script itself is none, and neither is a shell of one task: they
may start torchrun, or processes of our own.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from timesformer.errors import UserError

# Below the ports that Linux hands out to connections, which would take one of ours now and then.
FIRST_PORT, NUM_PORTS = 10_000, 20_000

SECONDS_TO_ANSWER = 60


@dataclass(frozen=True)
class Step:
    """This task's place in a step of `num_tasks` tasks on `num_nodes` nodes; all count from 0."""

    rank: int
    local_rank: int
    node: int
    num_tasks: int
    num_nodes: int
    first_host: str
    port: int
    name: str  # of this very start: job, step and restart

    @property
    def tasks_per_node(self) -> int:
        return self.num_tasks // self.num_nodes


def find_step(environ: Mapping[str, str]) -> Step | None:
    """The step of several tasks that this process is a task of, if it is one.

    Raises:
        UserError: the nodes have different numbers of tasks, or a variable is missing.
    """
    if int(environ.get("SLURM_STEP_NUM_TASKS") or 1) == 1:
        return None
    host = first_host(environ.get("SLURM_STEP_NODELIST", ""))
    num_tasks = number(environ, "SLURM_STEP_NUM_TASKS")
    num_nodes = number(environ, "SLURM_STEP_NUM_NODES")
    layout = environ.get("SLURM_STEP_TASKS_PER_NODE", "")
    if re.sub(r"\(x\d+\)", "", layout) != str(num_tasks // num_nodes):
        raise UserError(
            f"the nodes of this Slurm step have different numbers of tasks ({layout}), but a run "
            "wants as many on each: use srun --nodes N --ntasks-per-node M"
        )
    return Step(
        rank=number(environ, "SLURM_PROCID"),
        local_rank=number(environ, "SLURM_LOCALID"),
        node=number(environ, "SLURM_NODEID"),
        num_tasks=num_tasks,
        num_nodes=num_nodes,
        first_host=host,
        port=port_of(*identity(environ)),
        name=".".join(map(str, identity(environ))),
    )


def number(environ: Mapping[str, str], name: str) -> int:
    value = environ.get(name, "")
    if not value.isdecimal():
        raise UserError(
            f"SLURM_STEP_NUM_TASKS is set, as in a step of srun, but {name} is '{value}'; start "
            "with srun, or unset SLURM_STEP_NUM_TASKS"
        )
    return int(value)


def identity(environ: Mapping[str, str]) -> tuple[int, int, int]:
    """Job, step and restart: no two starts on a cluster share all three."""
    restarts = "SLURM_RESTART_COUNT"  # not set in the first run of a job
    return (
        number(environ, "SLURM_JOB_ID"),
        number(environ, "SLURM_STEP_ID"),
        number(environ, restarts) if restarts in environ else 0,
    )


def port_of(job: int, step: int, restart: int) -> int:
    """A port on which all tasks agree without a word.

    Jobs less than 190 numbers apart, their first nine steps and first eleven restarts have
    different ones: what runs on one machine at a time, or is still leaving it, does not collide.
    """
    return FIRST_PORT + (101 * job + 11 * step + restart) % NUM_PORTS


def first_host(nodelist: str) -> str:
    """``rack[2-4,7]node[01-16],other`` -> ``rack2node01``.

    Here and not by `scontrol show hostnames`, which a container on a node does not have.
    """
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])+", nodelist)
    if first is None:
        raise UserError(
            f"SLURM_STEP_NUM_TASKS is set, as in a step of srun, but SLURM_STEP_NODELIST is "
            f"'{nodelist}'; start with srun, or unset SLURM_STEP_NUM_TASKS"
        )
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first[0])


def is_ours_to_requeue(environ: Mapping[str, str]) -> bool:
    """Whether this is a job of Slurm, and submitit, which requeues its own, has no hand in it."""
    return bool(environ.get("SLURM_JOB_ID")) and "SUBMITIT_EXECUTOR" not in environ


def goes_back(stop: str, requeue_signals: Collection[str], environ: Mapping[str, str]) -> bool:
    """Whether a job that the signal `stop` has stopped should return to the queue.

    A Slurm that preempts may send SIGTERM alone, and requeues only who waits to be killed.
    """
    return stop in requeue_signals or (stop == "SIGTERM" and is_preempted(environ))


def is_preempted(environ: Mapping[str, str]) -> bool:
    """True between a preemption's SIGTERM and the end of its grace time.

    A job that leaves in that time counts as failed, and Slurm does not requeue it.
    """
    if not environ.get("SLURM_JOB_ID"):
        return False
    command = ["scontrol", "--oneliner", "show", "job", environ["SLURM_JOB_ID"]]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=SECONDS_TO_ANSWER
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return bool(re.search(r"JobState=RUNNING .*PreemptTime=\d", done.stdout))


def words_of_job(environ: Mapping[str, str]) -> str:
    """``, Slurm job 12, restart 1``, for the log; empty outside of jobs."""
    if not environ.get("SLURM_JOB_ID"):
        return ""
    restart = environ.get("SLURM_RESTART_COUNT", "0")
    return f", Slurm job {environ['SLURM_JOB_ID']}" + (f", restart {restart}" * (restart != "0"))


def requeue(environ: Mapping[str, str]) -> None:
    """Ask Slurm to stop this job and to start it again later.

    Raises:
        UserError: this is no job of Slurm, or Slurm will not.
    """
    job = job_name(environ)
    command = ["scontrol", "requeue", job]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=SECONDS_TO_ANSWER
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"Slurm was not asked to requeue job {job}: {error}") from error
    if done.returncode:
        raise UserError(
            f"Slurm did not requeue job {job}: {done.stderr.strip() or done.stdout.strip()}. "
            "Submit with sbatch --requeue, or start the job again to continue."
        )


def job_name(environ: Mapping[str, str]) -> str:
    """What `scontrol` calls this job; of an array, one element, not all that share its number."""
    names = ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_TASK_ID" in environ:
        names = ["SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"]
    parts = [environ.get(name, "") for name in names]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"this is no job of Slurm: {names[0]} is '{parts[0]}'")
    return "_".join(parts)
