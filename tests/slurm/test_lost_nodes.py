"""Nodes that are gone: Slurm notices in half a minute, and requeues on others what was there."""

from __future__ import annotations

import pytest

from tests.engine.runs import TINY_CONFIG, metrics, options
from tests.shared_data import needs_slurm
from tests.slurm.cluster import CPU, MULTI_NODE, story, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(600), needs_slurm]

EPOCHS = 24
STEPS = 3


@pytest.fixture(scope="module")
def accidents(cluster, videos, tmp_path_factory):
    """A run of submitit whose second node loses its power, and one of the script whose first node
    loses its network: by name, OUTPUT_DIR, job and nodes."""
    killed, cut = tmp_path_factory.mktemp("killed"), tmp_path_factory.mktemp("cut")
    changes = {"SOLVER__MAX_EPOCH": EPOCHS, "TRAIN__EVAL_PERIOD": EPOCHS, "TRAIN__BATCH_SIZE": 4}
    # What is cut off still reaches its disk, and holds OUTPUT_DIR until it finds that it hangs.
    hang = {"HANG_TIMEOUT_MINUTES": 2}  # a busy machine takes half of that to start all
    jobs = {
        killed: cluster.submit(
            *("--num_shards=2", "--sbatch=exclusive", *options(videos, killed, **changes))
        ),
        cut: cluster.sbatch(
            cut,
            *(*CPU, "--exclusive", MULTI_NODE, TINY_CONFIG),
            *options(videos, cut, **changes, **hang),
        ),
    }
    wait_until(lambda: all(cluster.state(job) == "RUNNING" for job in jobs.values()))
    nodes = {output: cluster.nodes(job) for output, job in jobs.items()}
    accidents = {
        (jobs[killed], killed): lambda: cluster.power_off(nodes[killed][1]),
        (jobs[cut], cut): lambda: cluster.cut_off(nodes[cut][0]),
    }
    cluster.act_at("epoch 4/", accidents)
    return {
        name: (output, jobs[output], nodes[output])
        for name, output in (("killed", killed), ("cut off", cut))
    }


@pytest.mark.parametrize("accident", ["killed", "cut off"])
def test_the_run_goes_on_elsewhere(cluster, accidents, accident):
    output, job, nodes = accidents[accident]
    # The run has failed, but the job has not: submitit would believe a result that said so.
    wait_until(lambda: cluster.fact(job, "Restarts") == "1")
    assert not list(output.glob("submitit/*result.pkl"))
    assert cluster.wait_for_end(job) == "COMPLETED", story(output)
    assert set(cluster.nodes(job)) != set(nodes)
    steps = [record["step"] for record in metrics(output, "train_iter")]
    assert set(steps) == set(range(1, EPOCHS * STEPS + 1))
    # A checkpoint is written after each epoch, beside the training: the last may not be whole.
    assert len(steps) - len(set(steps)) <= 2 * STEPS
