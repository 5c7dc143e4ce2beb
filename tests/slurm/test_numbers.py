"""Two nodes of two tasks give the numbers of one process."""

from __future__ import annotations

import pytest

from tests.engine.runs import TINY_CONFIG, losses, metrics, options, train
from tests.shared_data import needs_slurm
from tests.slurm.cluster import CPU, MULTI_NODE, story

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(600), needs_slurm]

# Sums of float32 in another order differ in the last bits; after six steps by less than this.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def alone(videos, tmp_path_factory):
    output = tmp_path_factory.mktemp("alone")
    train(videos, output)
    return output


@pytest.mark.parametrize("way", ["submitit", "script"])
def test_four_processes_on_two_nodes_are_one(cluster, videos, tmp_path, alone, way):
    output = tmp_path / "a folder"
    opts = options(videos, output, NUM_PROCS=2, TRAIN__BATCH_SIZE=4)
    if way == "submitit":
        job = cluster.submit("--num_shards=2", *opts)
    else:
        taken = {"PORT": cluster.port_of_slurm("node1")}
        job = cluster.sbatch(output, *CPU, MULTI_NODE, TINY_CONFIG, *opts, PROCS="2", **taken)
    assert cluster.wait_for_end(job) == "COMPLETED", story(output)
    assert len(cluster.nodes(job)) == 2
    assert "4 processes x 2 clips x 1 passes" in story(output)
    assert losses(output) == pytest.approx(losses(alone), abs=TOLERANCE)
    for kind in ("val_epoch", "test_final"):
        assert metrics(output, kind) == metrics(alone, kind)


def test_a_refusal_is_passed_on(cluster, videos, tmp_path):
    with pytest.raises(AssertionError, match="error: Slurm refused the job: .*invalid partition"):
        cluster.submit("--partition=nowhere", *options(videos, tmp_path))
