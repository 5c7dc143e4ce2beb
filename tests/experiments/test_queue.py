"""Runs as processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.experiments.small import definition, write
from timesformer.experiments.definition import read_experiment
from timesformer.experiments.facts import read_facts
from timesformer.experiments.queue import Job, locked

PROGRAMS = {
    "has ended": "raise SystemExit(3)",
    "goes on": "import time; time.sleep(60)",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_job_is_stopped_and_its_time_noted_whether_it_has_ended_or_not(
    tmp_path: Path, program: str
) -> None:
    (tmp_path / "program.py").write_text(program)
    experiment = read_experiment(write(tmp_path / "x.yaml", definition(tmp_path)), runs=tmp_path)
    run = experiment.runs[0]
    lock = locked(run.folder)
    assert lock is not None
    job = Job(run, tmp_path / "program.py", lock)
    if "SystemExit" in program:  # wait for its end, without asking for its status
        os.waitid(os.P_PID, job.pid, os.WEXITED | os.WNOWAIT)
    job.ask_to_stop()
    job.end()
    assert read_facts(run.folder)["seconds"] >= 0
    again = locked(run.folder)
    assert again is not None, "the folder is free again"
    os.close(again)
