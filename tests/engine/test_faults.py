"""What a training survives, or ends of with a sentence: in real processes, with real faults."""

from __future__ import annotations

import gc
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from torch.utils.data import DataLoader

from tests.engine.runs import (
    REPO,
    TINY_CONFIG,
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
from timesformer.checkpoints.lock import OutputLock
from timesformer.engine.step import free_failed_backward
from timesformer.errors import UserError

CHANGES = {
    "SOLVER__MAX_EPOCH": 4,
    "TRAIN__BATCH_SIZE": 4,
    "GLOBAL_BATCH_SIZE": 4,
    "TEST__ENABLE": False,
}


@pytest.fixture(scope="module")
def whole(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happens to."""
    return train(videos, tmp_path_factory.mktemp("whole"), **CHANGES)


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def kill_a_worker(output: Path, others: set[psutil.Process], deaths: list[int]) -> None:
    """SIGKILL to a loader process of this one, once a few steps are reported."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not deaths:
        if (output / "metrics.jsonl").exists() and len(losses(output)) >= 4:
            for worker in children() - others:
                if "resource_tracker" not in " ".join(worker.cmdline()):
                    worker.kill()
                    deaths.append(worker.pid)
                    break
        time.sleep(0.005)


@pytest.mark.slow
def test_a_loader_process_that_dies_costs_nothing(videos: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    list(DataLoader([0, 1], num_workers=1))  # somebody else's, which has PyTorch set its handler
    # Stochastic depth is drawn in each step, whatever becomes of the loader.
    changes = CHANGES | {"TIMESFORMER__DROP_PATH_RATE": 0.2}
    whole = train(videos, tmp_path / "whole", **changes)
    deaths: list[int] = []
    killer = threading.Thread(target=kill_a_worker, args=(killed, children(), deaths))
    killer.start()
    train(videos, killed, **changes, DATA_LOADER__NUM_WORKERS=2)
    killer.join()
    assert deaths
    log = (killed / "stdout.log").read_text()
    assert "a loader process died; its batches are loaded again: " in log
    assert losses(killed) == losses(whole)
    assert same(final_weights(killed, 4), final_weights(whole, 4))


# MB, of which the lesser is too little for a single clip and the greater enough for all of them.
# What a pass takes depends on the processor, for which kernels are made, and on the threads.
LITTLE, PLENTY = 200, 1600
OUT_OF_ROOM = """
import resource, sys
sys.argv = sys.argv[1:]
from timesformer.engine import run, train
first_epoch = train.train_epoch
def with_little_room(training):
    # What can be written to, not what is reserved: a new thread reserves 128 MB and uses none.
    words = open("/proc/self/status").read().split()
    used = int(words[words.index("VmData:") + 1]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (used + {room}, resource.RLIM_INFINITY))
    return first_epoch(training)
train.train_epoch = with_little_room
import runpy
runpy.run_path("{tool}", run_name="__main__")
"""


# Every tensor is a mapping of its own, so that what is let go of can be had again, all of it.
NO_HEAP = {"MALLOC_MMAP_THRESHOLD_": str(1 << 16)}


def with_little_room(opts: list[str], room: int) -> list[str]:
    program = OUT_OF_ROOM.format(room=room << 20, tool=REPO / "tools" / "run_net.py")
    return [sys.executable, "-c", program, *command(opts)[1:]]


BIG = CHANGES | {
    "TRAIN__BATCH_SIZE": 16,
    "GLOBAL_BATCH_SIZE": 16,
    "SOLVER__MAX_EPOCH": 1,
    "TRAIN__EVAL_PERIOD": 0,
    "TIMESFORMER__EMBED_DIM": 128,
    "TIMESFORMER__NUM_HEADS": 4,
    "TIMESFORMER__PATCH_SIZE": 4,
    "TIMESFORMER__DEPTH": 6,
}


@pytest.mark.slow
def test_without_memory_a_sentence(videos: Path, tmp_path: Path) -> None:
    done = run_process(with_little_room(options(videos, tmp_path, **BIG), LITTLE))
    assert done.returncode == 1
    assert "error: out of memory. Try a smaller TRAIN.BATCH_SIZE" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_without_memory_half_the_batch(videos: Path, tmp_path: Path) -> None:
    """In a room where that is needed: it is looked for between too little and enough."""
    too_little, enough = LITTLE, PLENTY
    halved = None
    while halved is None and enough - too_little > 10:
        room = (too_little + enough) // 2
        little = tmp_path / str(room)
        opts = options(videos, little, **BIG, TRAIN__HALVE_BATCH_ON_OOM=True)
        done = run_process(with_little_room(opts, room), variables=NO_HEAP)
        if done.returncode:
            too_little = room
        elif "clips a pass instead of" in done.stdout:
            halved = done.stdout
        else:
            enough = room
    assert halved is not None, f"none between {too_little} and {enough} MB: {done.stderr}"
    assert "out of memory: from here on 8 clips a pass instead of 16" in halved
    plenty = train(videos, tmp_path / "plenty", **BIG)
    assert losses(little) == pytest.approx(losses(plenty), abs=1e-5)


class Activations:
    """What a backward pass needs, as somebody who can be missed."""


class Holding(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, activations: Activations) -> torch.Tensor:
        ctx.activations = activations
        return x.clone()

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad, None


class Failing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


def fail_in_backward() -> weakref.ref[Activations]:
    """Later layers first: `Failing` before `Holding`, whose turn does not come."""
    x, activations = torch.zeros(3, requires_grad=True), Activations()
    held = Holding.apply(x, activations)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        (held + Failing.apply(x)).sum().backward()
    return weakref.ref(activations)


def test_a_backward_pass_that_failed_holds_no_memory() -> None:
    activations = fail_in_backward()
    free_failed_backward()
    gc.collect()
    assert activations() is None


KILLS = int(os.environ.get("KILLS", "2"))
LONG = {
    "NUM_PROCS": 2,
    "SOLVER__MAX_EPOCH": 12,
    "TRAIN__CHECKPOINT_EVERY_STEPS": 1,
    "TRAIN__KEEP_CHECKPOINTS": 1,
    "TRAIN__EVAL_PERIOD": 4,
    "TRAIN__EMA_DECAY": 0.9,
    "TEST__ENABLE": False,
}


def processes_of(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            pass
    return found


def kill_one_or_all(group: int, rng: random.Random) -> None:
    """SIGKILL: the launching process, a rank, some child of theirs, or everything at once."""
    processes = processes_of(group)
    for process in processes if rng.random() < 0.4 else rng.sample(processes, 1):
        process.kill()


def start_and_kill(args: list[str], output: Path, rng: random.Random) -> bool:
    """Start a run and kill it some steps further, or before the first; False if it got through."""
    run = subprocess.Popen(
        args,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    steps = steps_done(output) + rng.randint(0, 15)
    while run.poll() is None and steps_done(output) < steps:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.3))
    if run.poll() is not None:
        assert run.returncode == 0
        return False
    kill_one_or_all(run.pid, rng)
    run.wait(120)
    deadline = time.monotonic() + 120
    while processes_of(run.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes_of(run.pid), "whoever is left of a killed run ends, too"
    return True


def steps_done(output: Path) -> int:
    """The lines of the log, which are one for each step and some more."""
    path = output / "metrics.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_any_moment_it_ends_as_if_nothing_had_happened(
    videos: Path, tmp_path: Path
) -> None:
    """Runs of two processes, killed and started again until they are through: KILLS in all."""
    whole = train(videos, tmp_path / "whole", **LONG)
    rng, kills, runs = random.Random(0), 0, 0
    while kills < KILLS:
        runs += 1
        output = tmp_path / f"run {runs}"
        while start_and_kill(command(options(videos, output, **LONG)), output, rng):
            kills += 1
        assert same(final_weights(output, 12), final_weights(whole, 12)), kills
        assert metrics(output, "train_epoch")[-1] == metrics(whole, "train_epoch")[-1]
    print(f"{kills} kills, {runs} runs")


@pytest.mark.slow
def test_torchrun_restarts_what_it_costs_is_the_steps_since_the_last_save(
    videos: Path, tmp_path: Path
) -> None:
    """A rank is killed, once: all start again by themselves, from the checkpoint before."""
    restarted = tmp_path / "restarted"
    changes = CHANGES | {"SOLVER__MAX_EPOCH": 12, "TRAIN__CHECKPOINT_EVERY_STEPS": 1}
    whole = train(videos, tmp_path / "whole", **changes, NUM_PROCS=2)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    args = [*launcher, "--max-restarts=2", *command(options(videos, restarted, **changes))[1:]]
    with subprocess.Popen(args, env=environment(), stdout=subprocess.DEVNULL) as agent:
        while agent.poll() is None and steps_done(restarted) < 20:
            time.sleep(0.005)
        ranks = [
            c for c in psutil.Process(agent.pid).children() if "run_net.py" in str(c.cmdline())
        ]
        ranks[-1].kill()
        assert agent.wait(240) == 0
    assert same(final_weights(restarted, 12), final_weights(whole, 12))
    steps = [record["step"] for record in metrics(restarted, "train_iter")]
    assert set(steps) == set(range(1, 73))
    # The checkpoint of the last whole step may not have been on the disk yet.
    assert len(steps) - 72 <= 3


def test_a_second_run_keeps_out_of_the_folder(videos: Path, tmp_path: Path) -> None:
    opts = options(videos, tmp_path, **CHANGES)
    with OutputLock(str(tmp_path)):
        done = run_process(command(opts))
    assert done.returncode == 1
    assert f"error: OUTPUT_DIR {tmp_path} is in use by process {os.getpid()} on" in done.stderr
    assert not (tmp_path / "stdout.log").exists(), "the log is the first run's"


@pytest.mark.parametrize(
    ("name", "content"), [("stdout.log", None), ("metrics.jsonl", None), ("tensorboard", "")]
)
def test_a_log_that_cannot_be_written_is_said_at_once(
    videos: Path, tmp_path: Path, name: str, content: str | None
) -> None:
    if content is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=f"the run cannot write its log there .*{name}"):
        train(videos, tmp_path, **CHANGES, TENSORBOARD__ENABLE=True)


def test_a_console_that_is_gone_is_no_reason_to_stop(videos: Path, tmp_path: Path) -> None:
    opts = options(videos, tmp_path, **CHANGES)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command(opts), stdout=full, env=environment(), check=False)
    assert done.returncode == 0
    log = (tmp_path / "stdout.log").read_text()
    assert "nothing more can be said on the console" in log
    assert len(losses(tmp_path)) == 24


@pytest.mark.slow
def test_a_run_of_several_processes_waits_for_its_own_job(videos: Path, tmp_path: Path) -> None:
    """Longer than what counts as a hang, and goes on when the folder is free."""
    patience = 0.25  # minutes; on a busy machine the first step alone may take 0.1
    opts = options(videos, tmp_path, **CHANGES, NUM_PROCS=2, HANG_TIMEOUT_MINUTES=patience)
    job = {"SLURM_JOB_ID": "12"}
    os.environ.update(job)
    try:
        lock = OutputLock(str(tmp_path))
        lock.take()
    finally:
        os.environ.pop("SLURM_JOB_ID")
    with subprocess.Popen(
        command(opts), env=environment() | job, stdout=subprocess.PIPE, text=True
    ) as waiting:
        assert waiting.stdout is not None
        said = iter(waiting.stdout.readline, "")
        assert any("waiting up to" in line for line in said)
        time.sleep(60 * patience + 5)
        lock.release()
        assert "continues" not in "".join(said)
        assert waiting.wait(120) == 0
    assert len(losses(tmp_path)) == 24


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk(videos: Path, small_disk: Path, whole: Path) -> None:
    """The first checkpoint that finds no room is a warning, the second the end; then it goes on."""
    output = small_disk / "out"
    opts = options(videos, output, **CHANGES, TRAIN__CHECKPOINT_EVERY_STEPS=2)
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        file.write(bytes(2_000_000 - 200_000))
    done = run_process(command(opts))
    assert done.returncode == 1, done.stdout
    assert "could not be written" in done.stdout
    assert "The run goes on, and ends if the next one cannot be written either" in done.stdout
    assert "nor could the one before it; those before it are whole. Make room" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    filler.unlink()
    done = run_process(command(opts))
    assert done.returncode == 0, done.stderr
    assert same(final_weights(output, 4), final_weights(whole, 4))


# One process of two has an accident with its losses.
WITH_AN_ACCIDENT = """
import os, sys
import torch
from timesformer.config import load_config
from timesformer.engine import build
from timesformer.engine.run import start
from timesformer.errors import UserError
from timesformer.optim.losses import LOSS_REGISTRY

cross_entropy = LOSS_REGISTRY.get("cross_entropy")

def with_accident(logits, target, smoothing):
    losses = cross_entropy(logits, target, smoothing)
    return {accident} if os.environ["RANK"] == "1" else losses

class Registry:
    get = staticmethod(lambda name: with_accident)

build.LOSS_REGISTRY = Registry
try:
    start(load_config(sys.argv[1], sys.argv[2:]))
except UserError as error:
    sys.exit(f"error: {{error}}")
"""


def run_two_with(accident: str, folder: Path, opts: list[str]) -> subprocess.CompletedProcess[str]:
    program = folder / "program.py"
    program.write_text(WITH_AN_ACCIDENT.format(accident=accident))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    return run_process([*torchrun, "--standalone", str(program), str(TINY_CONFIG), *opts])


@pytest.mark.slow
def test_a_loss_that_is_no_number_on_one_process(videos: Path, tmp_path: Path) -> None:
    opts = options(videos, tmp_path / "out", **CHANGES)
    done = run_two_with("losses * float('nan')", tmp_path, opts)
    assert done.returncode != 0
    assert "error: the loss is not finite in epoch 1, step 1/6, for" in done.stderr
    assert not files.all_paths(str(tmp_path / "out"))


@pytest.mark.slow
def test_without_memory_on_one_process_all_take_half(
    videos: Path, tmp_path: Path, whole: Path
) -> None:
    """More than a petabyte, for more than one clip: four a pass are two in each process."""
    opts = options(videos, tmp_path / "out", **CHANGES, TRAIN__HALVE_BATCH_ON_OOM=True)
    greedy = "losses if len(losses) == 1 else torch.empty(1 << 50)"
    done = run_two_with(greedy, tmp_path, opts)
    assert done.returncode == 0, done.stderr
    assert "out of memory: from here on 2 clips a pass instead of 4" in done.stdout
    assert losses(tmp_path / "out") == pytest.approx(losses(whole), abs=1e-5)
