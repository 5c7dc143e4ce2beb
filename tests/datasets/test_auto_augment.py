"""timm's notation: what it is read as, and what is drawn; both against timm itself."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from timm.data import auto_augment as timm

from timesformer.datasets.auto_augment import LEVELS, PUBLISHED, SETS, Policy, Step, parse
from timesformer.errors import UserError

RAND = [
    "rand",
    "rand-m9",
    "rand-m9-n2-mstd0.5-inc1",
    "rand-m7-n4-mstd0.5-inc1",
    "rand-m9-n3-p0.8-mstd0.5",
    "rand-m9-mmax20-mstd1-inc1",
    "rand-m20-mmax30-inc0",
    "rand-mstd1-tweights",
    "rand-m9-n2-t3a",
    "rand-n3-m6-t3aw-mstd101",
]
PUBLISHED_TEXTS = [*PUBLISHED, "original-mstd0.5", "v0r-mstd1"]


def as_step(operation: timm.AugmentOp) -> Step:
    return Step(operation.name, operation.prob, operation.magnitude)


@pytest.mark.parametrize("text", RAND)
def test_rand_is_read_as_timm_reads_it(text: str) -> None:
    ours, theirs = parse(text), timm.rand_augment_transform(text, {"translate_pct": 0.45})
    assert sorted(ours.choices) == sorted((as_step(each),) for each in theirs.ops)
    assert ours.num_choices == theirs.num_layers
    spread = theirs.ops[0].magnitude_std
    assert ours.magnitude_std == spread or (ours.magnitude_std > 100 and spread == float("inf"))
    assert ours.magnitude_max == theirs.ops[0].magnitude_max or theirs.ops[0].magnitude_max is None
    if theirs.choice_weights is None:
        assert ours.weights is None
    else:
        weights = {step.name: w for (step,), w in zip(ours.choices, ours.weights, strict=True)}
        total = sum(weights.values())
        for operation, weight in zip(theirs.ops, theirs.choice_weights, strict=True):
            assert weights[operation.name] / total == pytest.approx(weight)


@pytest.mark.parametrize("text", PUBLISHED_TEXTS)
def test_published_policies_are_timms(text: str) -> None:
    ours, theirs = parse(text), timm.auto_augment_transform(text)
    assert ours.choices == tuple(tuple(map(as_step, steps)) for steps in theirs.policy)
    assert ours.magnitude_std == theirs.policy[0][0].magnitude_std
    assert (ours.num_choices, ours.weights) == (1, None)


@pytest.mark.parametrize("name", sorted(LEVELS))
@pytest.mark.parametrize("magnitude", [0, 3.3, 5, 9.9, 10, 17])
def test_amounts_are_timms(name: str, magnitude: float) -> None:
    level = timm.LEVEL_TO_ARG[name]
    ours = {LEVELS[name][1](magnitude / 10, random.Random(seed)) for seed in range(50)}
    if level is None:
        assert ours == {0}
        return
    theirs = {level(magnitude, {}) for _ in range(50)}
    # timm gives some amounts as (amount,) and others bare.
    theirs = {each[0] if isinstance(each, tuple) else each for each in theirs}
    if name == "GaussianBlurRand":  # timm draws within the operation
        assert min(ours) > 0
        assert max(ours) <= max(0.1, 2 * theirs.pop())
    elif name == "Desaturate":  # ours is the factor of the colour that stays
        assert sorted(ours) == pytest.approx([1 - each for each in theirs])
    else:
        assert sorted(ours) == pytest.approx([max(each, 0) for each in sorted(theirs)]) or (
            sorted(ours) == pytest.approx(sorted(theirs))
        )


def drawn_names(policy: Policy, draws: int = 4000) -> Counter[str]:
    rng = random.Random(0)
    return Counter(drawn.operation for _ in range(draws) for drawn in policy.draw(rng))


def test_each_operation_is_as_frequent_as_its_probability_says() -> None:
    counts = drawn_names(parse("rand-m9-n2-p0.5-inc1"))
    # 4000 clips, 2 of 15 operations each, half of them carried out: 267 of each, deviation 16.
    assert len(counts) == 15
    assert all(187 < count < 347 for count in counts.values())


def test_weighted_operations_come_once_and_as_often_as_their_weights_say() -> None:
    policy = parse("rand-n2-p1-tweights")
    rng = random.Random(0)
    for _ in range(500):
        names = [drawn.operation for drawn in policy.draw(rng)]
        assert len(set(names)) == 2
    first = drawn_names(parse("rand-n1-p1-tweights"))
    total = sum(SETS["weights"].values())
    assert first["Rotate"] / 4000 == pytest.approx(3 / total, abs=0.04)
    assert first["Color"] / 4000 == pytest.approx(0.25 / total, abs=0.02)


@pytest.mark.parametrize(
    ("text", "low", "high", "mean"),
    [
        # Brightness 1 ± 0.09 m: distances from 1, of magnitudes 9 ± 0.5 that end at 10.
        ("rand-m9-p1-mstd0.5-inc1", 0.6, 0.9, 0.81),
        ("rand-m9-p1-mstd101-inc1", 0.0, 0.81, 0.405),  # uniform from 0 to 9
        ("rand-m12-p1-mmax20-inc1", 0.9, 1.08, 0.99),  # 1.08 up, but no more than 0.9 down
        ("rand-m12-p1-inc1", 0.9, 0.9, 0.9),
    ],
)
def test_magnitudes_are_spread_and_end(text: str, low: float, high: float, mean: float) -> None:
    policy, rng = parse(text), random.Random(0)
    drawn = [each for _ in range(4000) for each in policy.draw(rng)]
    distances = [abs(each.amount - 1) for each in drawn if each.operation == "Brightness"]
    assert low - 1e-6 <= min(distances) <= max(distances) <= high + 1e-6
    assert np.mean(distances) == pytest.approx(mean, abs=0.02)


def test_draws_are_a_function_of_the_generator() -> None:
    policy = parse("rand-m9-n4-mstd0.5-inc1")
    draws = [policy.draw(random.Random(seed)) for seed in range(50)]
    assert draws == [policy.draw(random.Random(seed)) for seed in range(50)]
    assert len({tuple(each) for each in draws}) > 40


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("random-m9", "random"),
        ("rand-m9-w0", "w0"),
        ("rand-m9.5", "m9.5"),
        ("rand-n0", "n0"),
        ("rand-p1.5", "p1.5"),
        ("rand-m", "m"),
        ("rand-inc2", "inc2"),
        ("rand-m9-m8", "m8"),
        ("rand-t4a", "t4a"),
        ("rand-n15-t3aw", "n15"),
        ("rand--m9", ""),
        ("original-m9", "m9"),
        ("augmix-m5", "augmix"),
        ("v1", "v1"),
        (" ", " "),
    ],
)
def test_a_wrong_part_is_named(text: str, part: str) -> None:
    sentence = f"AUG.AA_TYPE is '{text}', in which '{part}' cannot be honoured; known are .*v0"
    with pytest.raises(UserError, match=sentence):
        parse(text)
