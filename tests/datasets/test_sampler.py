"""The samplers: who gets which sample. Expectations are derived in the comments."""

import pytest

from timesformer.datasets.sampler import EvalSampler, Request, TrainSampler


def sampler(num_samples, global_batch, per_pass, rank=0, world_size=1, epoch=0):
    made = TrainSampler(
        num_samples=num_samples,
        global_batch=global_batch,
        per_pass=per_pass,
        rank=rank,
        world_size=world_size,
        seed=7,
    )
    made.epoch = epoch
    return made


def passes(world_size, num_samples=10, global_batch=4, per_pass=4, epoch=0):
    """For each pass, the counted samples of all ranks."""
    ranks = [
        list(sampler(num_samples, global_batch, per_pass, rank, world_size, epoch))
        for rank in range(world_size)
    ]
    assert len({len(batches) for batches in ranks}) == 1, "every rank reaches every collective"
    dealt = zip(*ranks, strict=True)
    return [{r.index for batch in batches for r in batch if r.counted} for batches in dealt]


def test_an_epoch_holds_every_sample_once():
    indices = [r.index for batch in sampler(10, 4, 2) for r in batch if r.counted]
    assert sorted(indices) == list(range(10))
    assert sampler(10, 4, 2).step_sizes() == [4, 4, 2]
    assert len(sampler(10, 4, 2)) == 5 == len(list(sampler(10, 4, 2)))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_steps_do_not_depend_on_the_number_of_processes(world_size):
    assert passes(world_size) == passes(1)


def test_accumulation_splits_the_same_steps():
    whole = passes(1, global_batch=4, per_pass=4)
    halves = passes(1, global_batch=4, per_pass=2)
    # 10 samples: steps of 4, 4, 2, so 2 + 2 + 1 passes of 2.
    assert [halves[0] | halves[1], halves[2] | halves[3], halves[4]] == whole


def test_a_ragged_end_is_padded_with_uncounted_samples():
    # 9 samples, steps of 4: the last step has 1 sample for 2 ranks.
    last = [list(sampler(9, 4, 4, rank, 2))[-1] for rank in range(2)]
    assert [[r.counted for r in batch] for batch in last] == [[True], [False]]
    assert last[0][0].index == last[1][0].index


def test_epochs_differ_and_repeat():
    first, second = passes(1, epoch=0), passes(1, epoch=1)
    assert first != second
    assert passes(1, epoch=1) == second
    assert next(iter(sampler(10, 4, 4, epoch=3)))[0].epoch == 3


@pytest.mark.parametrize(("num_samples", "world_size"), [(10, 3), (1, 2), (0, 2), (8, 2)])
def test_evaluation_counts_every_video_exactly_once(num_samples, world_size):
    seen = []
    for rank in range(world_size):
        made = EvalSampler(num_samples=num_samples, batch_size=2, rank=rank, world_size=world_size)
        batches = list(made)
        assert len(batches) == len(made)
        seen += [request for batch in batches for request in batch]
    assert sorted(seen, key=lambda request: request.index) == [
        Request(i) for i in range(num_samples)
    ]
