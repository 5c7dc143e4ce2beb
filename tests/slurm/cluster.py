"""A real Slurm of several nodes on this machine, each with a host name and a network of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.engine.runs import REPO, TINY_CONFIG, environment
from tests.shared_data import START_SLURM

SCRIPTS = REPO / "slurm_scripts"
MULTI_NODE, SINGLE_NODE = SCRIPTS / "multi_node.sh", SCRIPTS / "single_node.sh"
PATIENCE = 300  # seconds, of which a quiet machine needs a quarter
CPU = ("--gpus-per-node=0", "--cpus-per-task=2")


class Cluster:
    """Partition `main` takes nodes away from `preemptible`, whose jobs get 20 seconds."""

    def __init__(self, folder: Path, num_nodes: int) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "SLURM_TEST_DIR": str(folder),
            "SLURM_TEST_NET": "isolated",
            "SLURM_TEST_NODE_TIMEOUT": "10",
        }
        self._script(START_SLURM, str(num_nodes))

    def stop(self) -> None:
        self._script(START_SLURM.with_name("stop_slurm.sh"), "--purge")

    def _script(self, script: Path, *args: str) -> None:
        done = subprocess.run(
            [script, *args], env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def power_off(self, node: str) -> None:
        self._script(START_SLURM.with_name("stop_slurm.sh"), "--node", node)

    def cut_off(self, node: str) -> None:
        self.on("head", "ip", "link", "set", node, "down")

    def on(self, host: str, *command: str | Path, **environ: str) -> str:
        """What `command` prints on a node, or on the head, where clients run."""
        done = subprocess.run(
            [self.folder / "on", host, *command],
            env=environment() | {"SLURM_CONF": f"{self.folder}/slurm.conf"} | environ,
            cwd=REPO,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def submit(self, *args: str) -> str:
        """The number of a job of tools/submit.py."""
        tool = [sys.executable, "tools/submit.py", "--cfg", str(TINY_CONFIG)]
        printed = self.on("head", *tool, *args)
        match = re.match(r"job (\d+)", printed)
        assert match, printed
        return match[1]

    def sbatch(self, output: Path, *args: str | Path, **environ: str) -> str:
        """The number of a job of a script, whose output lies in `output`."""
        output.mkdir(exist_ok=True)
        own = {"OUTPUT_DIR": str(output), "PYTHON": sys.executable, "GPUS": "0", **environ}
        options = ["--parsable", f"--output={output}/slurm.out"]
        return self.on("head", "sbatch", *options, *args, **own).strip()

    def fact(self, job: str, name: str) -> str:
        """What `scontrol show job` says after `name`=."""
        match = re.search(rf"\b{name}=(\S*)", self.on("head", "scontrol", "show", "job", job))
        assert match, name
        return match[1]

    def port_of_slurm(self, node: str) -> str:
        """On which its daemon listens."""
        match = re.search(r"\bPort=(\d+)", self.on("head", "scontrol", "show", "node", node))
        assert match, node
        return match[1]

    def state(self, job: str) -> str:
        return self.fact(job, "JobState")

    def nodes(self, job: str) -> list[str]:
        """In the order of ranks."""
        names = self.fact(job, "NodeList")
        return self.on("head", "scontrol", "show", "hostnames", names).split()

    def seconds(self, job: str) -> int:
        """For which it has run."""
        hours, minutes, seconds = self.fact(job, "RunTime").split(":")
        return 3600 * int(hours) + 60 * int(minutes) + int(seconds)

    def is_over(self, job: str) -> bool:
        return self.state(job) in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")

    def wait_for_end(self, job: str) -> str:
        """The state of a job that has left the queue for good."""
        wait_until(lambda: self.is_over(job))
        return self.state(job)

    def wait_for_words(self, job: str, output: Path, words: str) -> None:
        wait_until(lambda: self.has_said(job, output, words))

    def has_said(self, job: str, output: Path, words: str) -> bool:
        over = self.is_over(job)  # asked first: what it says at the end counts
        said = words in story(output)
        assert said or not over, f"{self.state(job)}:\n{story(output)}\n{printed(output)}"
        return said

    def act_at(self, words: str, actions: dict[tuple[str, Path], Callable[[], object]]) -> None:
        """For each job and its OUTPUT_DIR do what is to be done, as soon as it has said `words`."""
        waiting = dict(actions)

        def look() -> bool:
            for job, output in list(waiting):
                if self.has_said(job, output, words):
                    waiting.pop((job, output))()
            return not waiting

        wait_until(look)


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"has not come about in {PATIENCE} seconds"
        time.sleep(0.2)


def story(output: Path) -> str:
    """What stdout.log tells a person."""
    path = output / "stdout.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return "\n".join(line for line in lines if "json_stats:" not in line)


def printed(output: Path) -> str:
    """The end of what Slurm or submitit kept of the output of a job."""
    files = [output / "slurm.out", *output.glob("submitit/*.err"), *output.glob("submitit/*.out")]
    return "\n".join(f"{file}: {file.read_text()[-2000:]}" for file in files if file.exists())
