"""When things are due; what stops a run."""

import errno

import pytest
import torch

from timesformer.config import load_config
from timesformer.datasets.batch import Batch, Failure
from timesformer.engine import prepare
from timesformer.engine.cadence import Clock, is_due
from timesformer.engine.guards import FailureCounter, LossGuard, check_weights, exhausted, named
from timesformer.engine.prepare import cpu_threads, step_seed, train_batch
from timesformer.errors import UserError


@pytest.mark.parametrize(
    ("period", "due"), [(0, []), (1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (5, [5]), (9, [5])]
)
def test_due_every_period_and_at_the_end(period, due):
    assert [done for done in range(1, 6) if is_due(done, period, total=5)] == due


def test_clock_counts_what_it_timed():
    clock = Clock(total_steps=10)
    clock.tick(8)
    clock.restart()  # a validation: neither its time nor the step before it counts
    clock.tick(8)
    assert clock.read() > 0
    assert clock.steps_timed == 1
    assert clock.left(10) == "0:00:00"


def batch(failures, readable=True):
    one = torch.zeros(1)
    return Batch(one, torch.tensor([readable]), one, one, one, tuple(failures))


def test_failures_are_counted_by_video_and_epoch():
    counter = FailureCounter(num_videos=8, max_fraction=0.25)
    one, two = Failure("a.mp4", "cut"), Failure("b.mp4", "cut")
    counter.start_epoch()
    counter.add(batch([one, one, two]))  # drawn again as a replacement: still one video
    assert counter.paths == {"a.mp4", "b.mp4"}
    counter.start_epoch()
    assert counter.paths == set()
    counter.check(2)
    with pytest.raises(UserError, match=r"3 of the 8 training videos .*MAX_FAILED_FRACTION 0.25"):
        counter.check(3)


def test_no_replacement_to_be_found():
    counter = FailureCounter(num_videos=8, max_fraction=1.0)
    with pytest.raises(UserError, match="no readable training video .* the last one b.mp4: cut"):
        counter.add(batch([Failure("a.mp4", "cut"), Failure("b.mp4", "cut")], readable=False))


def test_loss_guard_names_step_and_files_and_forgets():
    guard = LossGuard()
    guard.add("epoch 1, step 4/4", torch.tensor([1.0, 2.0]), [0, 1])
    guard.check(["a", "b", "c"])
    guard.add("epoch 2, step 1/4", torch.tensor([1.0]), [0])
    guard.add("epoch 2, step 2/4", torch.tensor([1.0, float("inf")]), [2, 1])
    with pytest.raises(UserError, match="not finite in epoch 2, step 2/4, for b. Try a smaller"):
        guard.check(["a", "b", "c"])
    guard.check(["a", "b", "c"])


def test_only_the_first_files_are_named():
    assert named(["a", "b"]) == "a, b"
    assert named(list("abcdefg")) == "a, b, c, d, e and 2 more"


def test_weights_that_are_not_finite():
    model = torch.nn.Linear(2, 2)
    check_weights(model, "epoch 1")
    model.bias.data[1] = float("nan")
    with pytest.raises(UserError, match="the weights are not finite after epoch 3"):
        check_weights(model, "epoch 3")


def test_step_seeds_differ_by_step_and_rank():
    seeds = {step_seed(0, step, rank) for step in range(50) for rank in range(4)}
    assert len(seeds) == 200
    assert step_seed(0, 1, 2) == step_seed(0, 1, 2)


@pytest.mark.parametrize(
    ("opts", "world", "local", "expected"),
    [
        # BATCH_SIZE is per node: 8 clips on 2 nodes are 16 a pass; 64 a step are 4 passes.
        (["TRAIN.BATCH_SIZE", 8], 16, 8, (64, 16, 4)),
        (["TRAIN.BATCH_SIZE", 8], 1, 1, (64, 8, 8)),
        (["TRAIN.BATCH_SIZE", 8, "GLOBAL_BATCH_SIZE", 0], 2, 2, (8, 8, 1)),
    ],
)
def test_the_effective_batch(opts, world, local, expected):
    batch = train_batch(load_config(None, opts), world, local)
    assert (batch.step, batch.one_pass, batch.num_passes) == expected


def test_a_batch_that_cannot_be_split_or_reached():
    cfg = load_config(None, ["TRAIN.BATCH_SIZE", 24])
    with pytest.raises(UserError, match="64 cannot be reached with 24 clips a pass .* such as 72"):
        train_batch(cfg, 1, 1)
    with pytest.raises(UserError, match="split over the 5 processes .* multiple of 5"):
        train_batch(cfg, 5, 5)


def test_processes_and_workers_do_not_share_cores(monkeypatch):
    monkeypatch.setattr(prepare, "usable_cores", lambda: 16)
    assert cpu_threads(num_processes=1, num_workers=0) == 16
    assert cpu_threads(num_processes=2, num_workers=2) == 6
    assert cpu_threads(num_processes=8, num_workers=8) == 1


def test_a_full_disk_is_the_machines_end_and_another_error_is_not():
    full = exhausted(OSError(errno.ENOSPC, "No space left on device"))
    assert full is not None
    assert "the disk is full" in full
    assert exhausted(OSError(errno.ENOENT, "no such file")) is None
    assert exhausted(RuntimeError("shapes do not match")) is None
