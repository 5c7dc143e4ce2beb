"""Two hosts, each with a name and an address of its own, and a cable that can be cut."""

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from tests.distributed.ranks import STEPS, WHAT
from tests.shared_data import NETNS, needs_networks

pytestmark = [needs_networks, pytest.mark.slow]

REPO = Path(__file__).parents[2]
RANKS = "tests.distributed.ranks"
SECONDS = 4  # HANG_TIMEOUT_MINUTES of these runs


def netns(*command):
    subprocess.run([NETNS, *command], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def start(tmp_path):
    """Starts a module on a host, its output in a file; whatever is left in the end is killed."""
    started = []

    def on(host, *command, **environ):
        outside = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
        with (tmp_path / f"{host}.log").open("w") as log:
            process = subprocess.Popen(
                [NETNS, "exec", host, sys.executable, "-m", *command, "OUTPUT_DIR", tmp_path],
                env=outside | environ,
                cwd=REPO,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        return process

    # The names of the networks are the machine's: one at a time may use them.
    with Path(tempfile.gettempdir(), "timesformer-networks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        netns("up", "2")
        yield on
        for process in started:
            kill(process)
        netns("down")


def kill(process):
    """With all that it started: torchrun's workers outlive it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [
            *psutil.Process(process.pid).children(recursive=True),
            psutil.Process(process.pid),
        ]
        for member in family:
            member.kill()
    process.wait()


def torchrun(*options):
    return [
        *("torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d"),
        *("--rdzv-endpoint=host1:29400", "--rdzv-id=test", *options, "-m", RANKS),
        *("HANG_TIMEOUT_MINUTES", str(SECONDS / 60)),
    ]


def wait_for(what, seconds=90):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def text(path):
    return path.read_text(errors="replace") if path.exists() else ""


def steps_done(folder):
    """Whether both ranks have taken steps for a second."""
    words = [text(folder / f"rank {rank}").split() for rank in (0, 1)]
    return all(len(found) == 2 and int(found[1]) >= 10 for found in words)


def test_torchrun_restarts_on_two_hosts_with_its_default_settings(start, tmp_path):
    """Its store outlives the killed, and gloo would be led to their addresses."""
    command = torchrun("--max-restarts=1")
    hosts = [start(host, *command, **{WHAT: "it dies"}) for host in ("host1", "host2")]
    for host in hosts:
        assert host.wait(timeout=90) == 0, text(tmp_path / "host1.log")
    assert "exitcode: -9" in text(tmp_path / "host1.log") + text(tmp_path / "host2.log")
    assert text(tmp_path / "rank 0") == "[0, 1]"


def test_a_cut_cable_ends_the_run_on_both_sides(start, tmp_path):
    command = torchrun("--max-restarts=0")
    first, _ = [start(host, *command, **{STEPS: "9999"}) for host in ("host1", "host2")]
    wait_for(lambda: steps_done(tmp_path))
    netns("cut", "host2")
    logs = [tmp_path / "host1.log", tmp_path / "host2.log"]
    wait_for(lambda: all("Start again to continue" in text(log) for log in logs))
    with_store, cut_off = map(text, logs)
    assert "the run has lost rank 1: rank 1 not heard of for " in with_store
    assert "(stopped, dead or cut off); rank 0 at 'step " in with_store
    assert "nothing has been heard from the run's store for " in cut_off
    assert "rank 0's, is dead or cut off" in cut_off
    # host2's agent waits for ever and ignores SIGTERM: who starts it must be ready to kill it.
    assert first.wait(timeout=90) != 0


def test_a_killed_agent_and_worker_are_noticed_by_the_other_host(start, tmp_path):
    command = torchrun("--max-restarts=0")
    agents = {host: start(host, *command, **{STEPS: "9999"}) for host in ("host1", "host2")}
    wait_for(lambda: steps_done(tmp_path))
    kill(agents["host2"])
    wait_for(lambda: "Start again to continue" in text(tmp_path / "host1.log"))
    said = text(tmp_path / "host1.log")
    assert "the run has lost rank 1: stopped, dead or cut off, last at 'step " in said
    assert agents["host1"].wait(timeout=90) != 0


def test_processes_of_one_machine_listen_on_loopback_alone(start, tmp_path):
    """Here the machine's name is an address that others can reach, which gloo would take."""
    process = start("host1", RANKS, "NUM_PROCS", "2")
    assert process.wait(timeout=90) == 0, text(tmp_path / "host1.log")
    for rank in (0, 1):
        assert {*text(tmp_path / f"listens {rank}").split()} <= {"127.0.0.1", "::1"}


def test_two_nodes_meet_at_the_address_of_one(start, tmp_path):
    nodes = ["NUM_SHARDS", "2", "INIT_METHOD", "tcp://host1:29555"]
    hosts = [start(f"host{i + 1}", RANKS, *nodes, "SHARD_ID", str(i)) for i in range(2)]
    for host in hosts:
        assert host.wait(timeout=90) == 0, text(tmp_path / "host1.log")
    assert text(tmp_path / "rank 0") == "[0, 1]"
    assert "198.18.78.1" in text(tmp_path / "listens 0").split()
    assert not {"::", "0.0.0.0"} & {*text(tmp_path / "listens 0").split()}
