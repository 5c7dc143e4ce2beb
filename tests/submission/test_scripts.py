"""The sbatch scripts, as far as they can be looked at without Slurm; tests/slurm runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from tests.engine.runs import REPO

SCRIPTS = sorted((REPO / "slurm_scripts").glob("*.sh"))
scripts = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)


def test_there_are_two():
    assert [path.name for path in SCRIPTS] == ["multi_node.sh", "single_node.sh"]


@scripts
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_shellcheck_has_nothing_to_say(script):
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@scripts
def test_a_job_goes_back_to_the_queue_and_hears_of_it(script):
    flags = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script.read_text(), re.MULTILINE))
    assert {"requeue": "", "signal": "USR1@120", "open-mode": "append"}.items() <= flags.items()


@scripts
def test_no_cluster_is_in_it(script):
    """Partitions, modules, interfaces and paths are for whoever submits it."""
    assert not re.search(r"partition|module|conda|IFNAME|/home|constraint", script.read_text())


@scripts
def test_without_a_config_it_says_how_it_is_used(script):
    job = {"SLURM_JOB_NAME": "a", "SLURM_JOB_ID": "1"}
    done = subprocess.run(
        ["bash", script], env=os.environ | job, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"usage: sbatch slurm_scripts/{script.name} CONFIG.yaml" in done.stderr
