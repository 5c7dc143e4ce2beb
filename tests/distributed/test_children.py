"""Processes of our own: what becomes of signals, failures and orphans."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

from timesformer.distributed.children import in_children
from timesformer.errors import Interrupted, UserError

GRACE = 1.0  # seconds


def wait_for(*paths, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline, f"{paths} did not come"
        time.sleep(0.02)


def be_there(folder, index):
    Path(folder, str(index)).touch()


def until_asked(folder, index):
    """As a run does: note the signal, then leave in good order."""
    came = []
    for stop in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
        signal.signal(stop, lambda signum, frame: came.append(signum))
    be_there(folder, index)
    while not came:
        time.sleep(0.01)
    raise Interrupted(came[0], saved=True)


def without_handlers(folder, index):
    be_there(folder, index)
    time.sleep(1000)


def meet_with(what, folder, index):
    """Process 1 comes to harm once both are here; the other would wait for ever."""
    be_there(folder, index)
    if index == 1:
        wait_for(Path(folder, "0"))
        what()
    time.sleep(1000)


def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def use_the_gpu(folder, index):
    Path(folder, str(index)).write_text(str(torch.ones(3, device="cuda").sum().item()))


@pytest.mark.gpu
def test_a_gpu_that_is_in_use_can_be_used_by_all(tmp_path):
    torch.ones(1, device="cuda")
    in_children(partial(use_the_gpu, tmp_path), 2, GRACE, ["torch._dynamo"])
    assert [path.read_text() for path in tmp_path.iterdir()] == ["3.0", "3.0"]


def kill_the_server(folder, index):
    Path(folder, f"pid {index}").write_text(str(os.getpid()))
    be_there(folder, index)
    wait_for(Path(folder, "0"), Path(folder, "1"))
    if index == 1:
        os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1000)


def raise_user_error():
    raise UserError("GLOBAL_BATCH_SIZE is odd")


def raise_interrupted():
    raise Interrupted(signal.SIGUSR1, saved=False)


def test_all_do_their_part(tmp_path):
    in_children(partial(be_there, tmp_path), 3, GRACE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]


def say_start_method(folder, index):
    Path(folder, str(index)).write_text(multiprocessing.get_start_method())


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_their_own_children_start_as_the_parents_would(tmp_path, method):
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(method, force=True)
    try:
        in_children(partial(say_start_method, tmp_path), 1, GRACE)
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert Path(tmp_path, "0").read_text() == method


def write_something_new(folder, index):
    Path(folder, str(index)).write_text(os.environ["SOMETHING_NEW"])


def test_the_environment_is_that_of_now(tmp_path, monkeypatch):
    in_children(partial(be_there, tmp_path), 1, GRACE)  # the server runs from here on
    monkeypatch.setenv("SOMETHING_NEW", "new")
    in_children(partial(write_something_new, tmp_path), 1, GRACE)
    assert Path(tmp_path, "0").read_text() == "new"


def send_when_there(signum, folder):
    wait_for(folder / "0", folder / "1")
    os.kill(os.getpid(), signum)


@pytest.mark.parametrize(
    ("signum", "what", "saved"),
    [
        (signal.SIGTERM, until_asked, True),
        (signal.SIGUSR1, until_asked, True),
        (signal.SIGUSR2, until_asked, True),
        (signal.SIGINT, until_asked, True),
        (signal.SIGUSR1, without_handlers, False),
        (signal.SIGINT, without_handlers, False),
    ],
)
def test_signals_are_passed_on(tmp_path, signum, what, saved):
    threading.Thread(target=send_when_there, args=(signum, tmp_path)).start()
    with pytest.raises(Interrupted) as caught:
        in_children(partial(what, tmp_path), 2, GRACE)
    assert (caught.value.signum, caught.value.saved) == (signum, saved)


@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        (be_killed, UserError, r"process 1 .* signal 9 \(Killed, often for want of memory"),
        (raise_user_error, UserError, "^GLOBAL_BATCH_SIZE is odd$"),
        (raise_interrupted, Interrupted, r"\(.*10.*, False\)"),
        (partial(os._exit, 7), SystemExit, "7"),
    ],
    ids=["killed", "mistake", "interrupted", "status"],
)
def test_the_first_that_fails_ends_the_others(tmp_path, what, error, words):
    with pytest.raises(error, match=words):
        in_children(partial(meet_with, what, tmp_path), 2, GRACE)


def test_none_outlives_a_killed_server(tmp_path):
    with pytest.raises(UserError, match="the process that had started .* they with it") as caught:
        in_children(partial(kill_the_server, tmp_path), 2, GRACE)
    assert caught.tb  # whose frames hold what, let go of, would end them
    pids = [int(path.read_text()) for path in tmp_path.glob("pid *")]
    left = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    assert psutil.wait_procs(left, timeout=10)[1] == []
    in_children(partial(be_there, tmp_path), 1, GRACE)  # by another one


ORPHANS = """
import sys
from functools import partial
from tests.distributed.test_children import without_handlers
from timesformer.distributed.children import in_children
if __name__ == "__main__":
    in_children(partial(without_handlers, sys.argv[1]), 2, 1.0)
"""


def test_none_outlives_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(ORPHANS)
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, script, tmp_path], env=environ)
    wait_for(tmp_path / "0", tmp_path / "1")
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 2
    parent.kill()
    parent.wait()
    assert psutil.wait_procs(children, timeout=10)[1] == []
