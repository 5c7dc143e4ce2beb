"""The samplers: who gets which sample. Expectations are derived in the comments."""

from collections import Counter

import numpy as np
import pytest

from timesformer.datasets.sampler import EvalSampler, Request, TrainSampler, balanced_order


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
    made = sampler(10, 4, 2)
    assert made.step_sizes() == [4, 4, 2]
    for first in range(11):
        assert made.num_steps(first) == len(made.step_sizes(first))
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


# --- balance --------------------------------------------------------------------------------------


def balanced(labels, seed=0):
    return balanced_order(np.array(labels), np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("labels", "shares"),
    [
        ([0] * 6 + [1] * 2, [4, 4]),
        ([5, 5, 5, 9], [2, 2]),
        ([0] * 5 + [1] * 2, [3, 4]),  # 7 samples for 2 classes: one of them comes up once more
        ([0] * 8 + [1, 2], [3, 3, 4]),
        ([4, 4, 4], [3]),
    ],
)
def test_a_balanced_order_is_as_long_and_fair_to_one(labels, shares):
    order, repeats = balanced(labels)
    assert len(order) == len(repeats) == len(labels)
    counts = Counter(labels[index] for index in order)
    assert sorted(counts.values()) == shares
    for label in set(labels):
        # Every video of a class comes up again only once all of them did.
        times = Counter(int(index) for index in order if labels[index] == label)
        members = labels.count(label)
        assert len(times) == min(members, counts[label])
        assert max(times.values()) - min(times.values()) <= 1
    for index in set(order.tolist()):
        assert sorted(repeats[order == index]) == list(range((order == index).sum()))


def test_a_balanced_order_is_random_and_follows_its_generator():
    labels = [0] * 50 + [1] * 10
    first, second = balanced(labels, seed=1), balanced(labels, seed=2)
    assert not np.array_equal(first[0], second[0])
    assert np.array_equal(first[0], balanced(labels, seed=1)[0])
    # Not one class after the other: of the first half, about half is of each.
    assert 8 < sum(labels[index] for index in first[0][:30]) < 22


def test_a_large_class_shows_all_its_videos_over_the_epochs():
    labels = np.array([0] * 12 + [1] * 4)
    made = TrainSampler(num_samples=16, global_batch=4, per_pass=4, seed=7, balance=labels)
    seen = set()
    for made.epoch in range(8):
        requests = [request for batch in made for request in batch]
        assert Counter(labels[request.index] for request in requests) == {0: 8, 1: 8}
        assert all(request.repeat == 0 for request in requests if labels[request.index] == 0)
        seen |= {request.index for request in requests}
    assert seen == set(range(16))


def test_balanced_steps_do_not_depend_on_the_number_of_processes():
    labels = np.array([0] * 7 + [1] * 3)

    def dealt(world_size):
        ranks = [
            list(
                TrainSampler(
                    num_samples=10,
                    global_batch=4,
                    per_pass=4,
                    rank=rank,
                    world_size=world_size,
                    seed=7,
                    balance=labels,
                )
            )
            for rank in range(world_size)
        ]
        passes = zip(*ranks, strict=True)
        return [
            {(r.index, r.repeat) for batch in batches for r in batch if r.counted}
            for batches in passes
        ]

    assert dealt(2) == dealt(1)


def test_a_video_that_comes_up_again_is_cut_otherwise():
    once, again = Request(3, epoch=2), Request(3, epoch=2, repeat=1)
    assert once.rng(0).random() != again.rng(0).random()
    assert again.rng(0).random() == Request(3, epoch=2, repeat=1).rng(0).random()
