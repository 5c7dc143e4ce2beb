"""Jobs that are driven out, out of time, cancelled: nothing is lost, and nothing done twice."""

from __future__ import annotations

import shlex
from functools import partial

import pytest

from tests.engine.runs import (
    TINY_CONFIG,
    command,
    final_weights,
    metrics,
    options,
    run_process,
    same,
)
from tests.shared_data import needs_slurm
from tests.slurm.cluster import CPU, SINGLE_NODE, story, wait_until
from timesformer.checkpoints import files

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(600), needs_slurm]

EPOCHS = 60  # seconds beyond the fourth, at which a signal is sent
STEPS = 3  # of an epoch
FOURTH = "epoch 4/"
END_LESS = 1_000_000


def settings(videos, output, epochs=EPOCHS, nodes=1):
    """KEY VALUE pairs of a run that writes its state at the end, or when it is asked to."""
    return options(
        videos,
        output,
        SOLVER__MAX_EPOCH=epochs,
        TRAIN__EVAL_PERIOD=epochs,
        TRAIN__CHECKPOINT_PERIOD=epochs,
        TRAIN__BATCH_SIZE=8 // nodes,
    )


def assert_each_step_was_done_once(output, epochs=EPOCHS):
    steps = [record["step"] for record in metrics(output, "train_iter")]
    assert steps == list(range(1, epochs * STEPS + 1))


@pytest.fixture(scope="module")
def uninterrupted(videos, tmp_path_factory):
    """What the two that are driven out have to become."""
    output = tmp_path_factory.mktemp("uninterrupted")
    done = run_process(command([*settings(videos, output), "NUM_PROCS", "2"]))
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="module")
def driven_out(cluster, videos, tmp_path_factory):
    """Two runs that a job of `main` takes the nodes from: one of submitit, which gets the signal
    that submitit asks for, and one of plain srun, which gets SIGTERM alone."""
    ours, plain = tmp_path_factory.mktemp("submitit"), tmp_path_factory.mktemp("srun")
    low = "--partition=preemptible"
    script = f"--wrap=srun {shlex.join(command(settings(videos, plain)))}"
    requeue = ["--requeue", "--open-mode=append"]
    alone = [low, "--sbatch=exclusive", "--num_shards=2"]
    one = [low, "--exclusive", "--nodes=1", "--ntasks=2"]
    jobs = {
        ours: cluster.submit(*alone, *settings(videos, ours, nodes=2)),
        plain: cluster.sbatch(plain, *one, *requeue, script),
    }

    def drive_out(job):
        wanted = ",".join(cluster.nodes(job))
        cluster.sbatch(
            tmp_path_factory.mktemp("high"),
            *(f"--nodelist={wanted}", "--exclusive", "--wrap=hostname"),
        )

    cluster.act_at(FOURTH, {(job, output): partial(drive_out, job) for output, job in jobs.items()})
    return jobs


@pytest.mark.usefixtures("driven_out")  # who wait for their nodes meanwhile
def test_out_of_time(cluster, videos, tmp_path):
    """By the script, whose config is read at each start: the second has an end."""
    config, output = tmp_path / "run.yaml", tmp_path / "run"
    opts = settings(videos, output, END_LESS)
    config.write_text(f"_BASE_: {TINY_CONFIG}\nSOLVER: {{MAX_EPOCH: {END_LESS}}}\n")
    at = opts.index("SOLVER.MAX_EPOCH")
    limit = ["--time=10", "--signal=USR1@100"]
    job = cluster.sbatch(
        output, *limit, *CPU, SINGLE_NODE, config, *opts[:at], *opts[at + 2 :], PROCS="2"
    )
    cluster.wait_for_words(job, output, FOURTH)
    # Slurm looks at the clock twice a minute.
    minutes = cluster.seconds(job) // 60 + 2
    cluster.on("head", "scontrol", "update", f"JobId={job}", f"TimeLimit={minutes}")
    cluster.wait_for_words(job, output, "stopped by SIGUSR1: the state is saved")
    wait_until(lambda: cluster.fact(job, "Restarts") == "1")
    epochs = metrics(output, "train_iter")[-1]["step"] // STEPS + 3
    config.write_text(f"_BASE_: {TINY_CONFIG}\nSOLVER: {{MAX_EPOCH: {epochs}}}\n")
    cluster.on("head", "scontrol", "update", f"JobId={job}", "TimeLimit=30")
    assert cluster.wait_for_end(job) == "COMPLETED", story(output)
    assert_each_step_was_done_once(output, epochs)


@pytest.mark.parametrize("way", ["submitit by SIGUSR2", "srun by SIGTERM"])
def test_preempted(cluster, driven_out, uninterrupted, way):
    launcher, _, signal = way.split()
    output, job = next((o, j) for o, j in driven_out.items() if launcher in o.name)
    assert cluster.wait_for_end(job) == "COMPLETED", story(output)
    assert cluster.fact(job, "Restarts") == "1"
    assert f"stopped by {signal}: the state is saved" in story(output)
    assert_each_step_was_done_once(output)
    assert same(final_weights(output, EPOCHS), final_weights(uninterrupted, EPOCHS))


def test_cancelled(cluster, videos, tmp_path):
    """An array of seeds, and torchrun, which passes the signal on to those who have it already."""
    array, script = tmp_path / "array", tmp_path / "script"
    run = [*settings(videos, array, END_LESS), "NUM_PROCS", "2"]
    seeds = cluster.submit("--seeds", "3", "4", *run)
    other = cluster.sbatch(
        script, *CPU, SINGLE_NODE, TINY_CONFIG, *settings(videos, script, END_LESS), PROCS="2"
    )
    jobs = {array / "seed_3": f"{seeds}_0", array / "seed_4": f"{seeds}_1", script: other}
    for output, job in jobs.items():
        cluster.wait_for_words(job, output, FOURTH)
    cluster.on("head", "scancel", seeds, other)
    for output, job in jobs.items():
        assert cluster.wait_for_end(job) == "CANCELLED"
        assert cluster.fact(job, "Restarts") == "0"
        assert "stopped by SIGTERM: the state is saved" in story(output)
        assert files.newest_good(str(output)) is not None
    assert not list(array.glob("submitit/*result.pkl"))
