"""Runs that hang, lose a process or go well: what is said, and that they end."""

import os
import signal
from multiprocessing import forkserver

import pytest

from tests.distributed import ranks
from timesformer.config import load_config
from timesformer.distributed.launch import launch, plan_run
from timesformer.distributed.watch import HUNG, Watch, doing, is_lost_connection, where
from timesformer.errors import UserError

SECONDS = 3.0  # HANG_TIMEOUT_MINUTES of these runs


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Starts `ranks.run` in two processes of our own, in which rank 1 meets with `what`."""
    forkserver._forkserver._stop()  # which writes where stdout was when it was started

    def start(what: str) -> None:
        monkeypatch.setenv(ranks.WHAT, what)
        opts = ["NUM_GPUS", 0, "NUM_PROCS", 2, "OUTPUT_DIR", str(tmp_path)]
        cfg = load_config(None, [*opts, "HANG_TIMEOUT_MINUTES", SECONDS / 60])
        launch(ranks.run, cfg, plan_run(cfg, {}))

    return start


def test_a_position_is_where_and_what():
    watch = Watch()
    watch.at("step 3")
    with doing("gathering"):
        assert where() == "step 3, gathering"
    assert where() == "step 3"
    assert watch.sentence(RuntimeError("gloo: Connection closed by peer")) is None
    watch.close()


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        ("[third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer", True),
        ("[gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1000ms for recv", True),
        ("NCCL error: ncclRemoteError: a network error or a remote process exiting", True),
        ("[enforce fail at gloo/transport/tcp/pair.cc:446] op.nbytes. 8 vs 4", False),
        ("DataLoader timed out after 5 seconds", False),
    ],
)
def test_which_errors_come_of_a_lost_process(message, lost):
    assert is_lost_connection(RuntimeError(message)) == lost
    assert not is_lost_connection(OSError(message))


@pytest.mark.slow
def test_all_goes_well_and_nothing_listens_beyond_loopback(two, tmp_path):
    two("")
    assert (tmp_path / "rank 0").read_text() == "[0, 1]"
    assert (tmp_path / "rank 1").read_text() == "None"
    for rank in range(2):
        places = (tmp_path / f"listens {rank}").read_text().split()
        assert len(places) >= 2, "the parent's store and gloo's socket"
        assert {*places} <= {"127.0.0.1", "::1"}


@pytest.mark.slow
def test_a_rank_that_hangs_is_named_with_its_place(two, capfd):
    with pytest.raises(SystemExit) as caught:
        two("it hangs")
    assert caught.value.code == HUNG
    said = capfd.readouterr().err
    assert "the run hangs: rank 0 at 'step 4, adding up over all processes' for " in said
    assert "; rank 1 at 'step 3' for " in said
    assert "Rank 0 ends here" in said
    assert "Rank 1 ends here, at 'step 3'. Start again to continue" in said
    assert "time.sleep(1000)" in said, "the stack of the one that hangs"


@pytest.mark.slow
def test_a_rank_that_is_stopped_is_named_and_ended(two, capfd, tmp_path):
    with pytest.raises(SystemExit) as caught:
        two("it is stopped")
    assert caught.value.code == HUNG
    said = capfd.readouterr().err
    assert "the run has lost rank 1: rank 1 not heard of for " in said
    assert "(stopped, dead or cut off); rank 0 at 'step 4, adding up" in said
    stopped = int((tmp_path / "rank 1").read_text().split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(stopped, signal.SIGCONT)


@pytest.mark.slow
def test_a_run_that_is_suspended_for_longer_does_not_hang(two, tmp_path):
    assert ranks.SUSPENDED > SECONDS
    two("all are suspended")
    assert (tmp_path / "rank 0").read_text() == "[0, 1]"


@pytest.mark.slow
def test_a_rank_that_dies_takes_the_others_with_it(two):
    sentence = r"process 1 of this machine was ended by signal 9 \(Killed.* Start again"
    with pytest.raises(UserError, match=sentence):
        two("it dies")
