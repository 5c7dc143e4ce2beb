"""The same run in one process, in two of ours, under torchrun, and killed half-way."""

import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.engine.runs import (
    command,
    environment,
    final_weights,
    losses,
    metrics,
    options,
    run_process,
    same,
    train,
)
from timesformer.checkpoints import files

pytestmark = pytest.mark.slow  # every test starts processes

# Sums of float32 in another order differ in the last bits; after six steps by less than this.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def alone(videos, tmp_path_factory):
    """The run of one process that the others are held against."""
    return train(videos, tmp_path_factory.mktemp("alone"))


def torchrun(opts):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    return [*launcher, "--master_port", "0", "--standalone", *command(opts)[1:]]


@pytest.mark.parametrize("way", ["NUM_PROCS 2", "torchrun"])
def test_two_processes_are_one(videos, tmp_path, alone, way):
    opts = options(videos, tmp_path, NUM_PROCS=2)
    args = torchrun(opts[:-2]) if way == "torchrun" else command(opts)
    done = run_process(args)
    assert done.returncode == 0, done.stderr
    assert "2 processes x 4 clips x 1 passes" in done.stdout
    assert losses(tmp_path) == pytest.approx(losses(alone), abs=TOLERANCE)
    # 6 and 10 videos on 2 processes in batches of 4: ragged ends, nothing counted twice.
    for kind in ("val_epoch", "test_final"):
        assert metrics(tmp_path, kind) == metrics(alone, kind)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def test_two_nodes_are_one(videos, tmp_path, alone):
    """Nodes of one process each, as with NUM_GPUS 1, that find each other by address."""
    address = f"tcp://localhost:{free_port()}"
    opts = options(videos, tmp_path, TRAIN__BATCH_SIZE=4)
    nodes = ["--num_shards", "2", "--init_method", address]
    other = subprocess.Popen(
        command([*opts, *nodes, "--shard_id", "1"]),
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    done = run_process(command([*opts, *nodes, "--shard_id", "0"]))
    assert done.returncode == 0, done.stderr
    assert other.wait(timeout=60) == 0
    assert "2 processes x 4 clips x 1 passes" in done.stdout
    assert losses(tmp_path) == pytest.approx(losses(alone), abs=TOLERANCE)
    assert metrics(tmp_path, "test_final") == metrics(alone, "test_final")


def test_two_processes_accumulate_as_one_does(videos, tmp_path, alone):
    train(videos, tmp_path, NUM_PROCS=2, TRAIN__BATCH_SIZE=4, TEST__ENABLE=False)
    assert losses(tmp_path) == pytest.approx(losses(alone), abs=TOLERANCE)


def test_killed_and_started_again_it_gets_there(videos, tmp_path):
    """kill -9 after the first checkpoint; the second start ends with the weights of a whole run."""
    changes = {"SOLVER__MAX_EPOCH": 6, "TIMESFORMER__DROP_PATH_RATE": 0.2, "TEST__ENABLE": False}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # A process of its own too: with another number of threads sums differ in their last bits.
    assert run_process(command(options(videos, whole, **changes))).returncode == 0

    args = command(options(videos, killed, **changes))
    process = subprocess.Popen(args, env=environment(), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not files.epoch_paths(str(killed)) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was to die in the middle"
    assert not files.epoch_path(str(killed), 6).exists()

    done = run_process(args)
    assert done.returncode == 0, done.stderr
    assert "of 6 epochs" in done.stdout
    assert same(final_weights(killed, 6), final_weights(whole, 6))


def test_a_rank_without_videos_is_no_trouble(videos, tmp_path, alone):
    """One test video on two processes: the second has none, and the count is one."""
    data = tmp_path / "one"
    data.mkdir()
    for split in ("train", "val", "test"):
        first = (videos / f"{split}.csv").read_text().splitlines()[0]
        (data / f"{split}.csv").write_text(first + "\n")
    checkpoint = files.epoch_path(str(alone), 2)
    train(
        data,
        tmp_path / "out",
        DATA__PATH_PREFIX=videos,
        NUM_PROCS=2,
        TRAIN__ENABLE=False,
        TEST__CHECKPOINT_FILE_PATH=checkpoint,
    )
    (final,) = metrics(tmp_path / "out", "test_final")
    assert final["num_videos"] == 1
