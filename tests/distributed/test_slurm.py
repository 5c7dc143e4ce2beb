"""What Slurm's environment says. The cases were printed by srun of Slurm 22.05."""

import pytest

from timesformer.distributed.slurm import (
    FIRST_PORT,
    NUM_PORTS,
    find_step,
    first_host,
    goes_back,
    is_ours_to_requeue,
    job_name,
    port_of,
    requeue,
    words_of_job,
)
from timesformer.errors import UserError

# The last of 2 x 2 tasks, started by `srun` in a job that was requeued once.
STEP = {
    "SLURM_JOB_ID": "8445901",
    "SLURM_STEP_ID": "2",
    "SLURM_RESTART_COUNT": "1",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_STEP_NODELIST": "node[1-2]",
}

# What the batch script of that job sees: the numbers of a task, but no step.
BATCH = {
    "SLURM_JOB_ID": "8445901",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "0",
    "SLURM_TASKS_PER_NODE": "2(x2)",
}


def test_a_task_finds_its_place():
    step = find_step(STEP)
    assert step is not None
    assert (step.rank, step.local_rank, step.node) == (3, 1, 1)
    assert (step.num_tasks, step.num_nodes, step.tasks_per_node) == (4, 2, 2)
    assert (step.first_host, step.name) == ("node1", "8445901.2.1")


@pytest.mark.parametrize("environ", [{}, BATCH, STEP | {"SLURM_STEP_NUM_TASKS": "1"}])
def test_a_batch_script_is_no_step_and_one_task_is_alone(environ):
    assert find_step(environ) is None


def test_uneven_tasks_are_refused():
    uneven = {"SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_TASKS_PER_NODE": "2,1"}
    with pytest.raises(UserError, match=r"different numbers of tasks \(2,1\).*--ntasks-per-node"):
        find_step(STEP | uneven)


@pytest.mark.parametrize("name", ["SLURM_PROCID", "SLURM_STEP_NODELIST"])
def test_half_a_step_is_not_believed(name):
    with pytest.raises(UserError, match=f"{name} is ''; start with srun, or unset"):
        find_step({k: v for k, v in STEP.items() if k != name})


@pytest.mark.parametrize(
    ("nodelist", "host"),
    [
        ("node7", "node7"),
        ("node7,other", "node7"),
        ("node[1-3,7]", "node1"),
        ("node[007,010-012],gpu[1-2]", "node007"),
        ("rack[2-4,7]node[01-16]-ib,other", "rack2node01-ib"),
    ],
)
def test_the_first_host_of_a_list(nodelist, host):
    assert first_host(nodelist) == host


def test_ports_of_what_may_run_at_one_time_differ():
    starts = [(j, s, r) for j in range(9_999_950, 9_999_970) for s in range(9) for r in range(11)]
    ports = {port_of(*start) for start in starts}
    assert len(ports) == len(starts)
    assert all(FIRST_PORT <= port < FIRST_PORT + NUM_PORTS for port in ports)
    assert len({port_of(job, 0, 0) for job in range(190)}) == 190


@pytest.mark.parametrize(
    ("environ", "ours"),
    [
        ({}, False),
        (BATCH, True),
        (BATCH | {"SUBMITIT_EXECUTOR": "slurm"}, False),
        (BATCH | {"SUBMITIT_EXECUTOR": "local"}, False),
    ],
)
def test_who_puts_a_job_back(environ, ours):
    assert is_ours_to_requeue(environ) == ours


def test_what_the_log_says_of_a_job():
    assert words_of_job({}) == ""
    assert words_of_job(BATCH) == ", Slurm job 8445901"
    assert words_of_job(BATCH | {"SLURM_RESTART_COUNT": "2"}) == ", Slurm job 8445901, restart 2"


@pytest.mark.parametrize("stop", ["SIGUSR1", "SIGUSR2", "SIGTERM", "SIGINT"])
def test_outside_of_jobs_nothing_goes_back_unasked(stop):
    assert goes_back(stop, ["SIGUSR2"], {}) == (stop == "SIGUSR2")


def test_a_job_and_an_element_of_an_array_have_names():
    assert job_name(BATCH) == "8445901"
    array = {"SLURM_ARRAY_JOB_ID": "8445900", "SLURM_ARRAY_TASK_ID": "7"}
    assert job_name(BATCH | array) == "8445900_7"


@pytest.mark.parametrize("job", ["", "1; rm -rf /"])
def test_only_a_number_is_a_job(job):
    with pytest.raises(UserError, match=f"this is no job of Slurm: SLURM_JOB_ID is '{job}'"):
        requeue({"SLURM_JOB_ID": job})


def test_without_slurm_nothing_is_requeued(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="was not asked to requeue job 8445901: .*scontrol"):
        requeue(BATCH)
