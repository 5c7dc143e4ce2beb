"""Each number against a case counted by hand, or against somebody else's program."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix as sklearn_confusion

from timesformer.report.statistics import (
    averages,
    calibrate,
    confused_pairs,
    confusion_matrix,
    mcnemar,
    paired_difference,
    view_accuracy,
    wilson,
)


@pytest.mark.parametrize(("right", "total"), [(0, 10), (10, 10), (1, 1), (298, 400), (5, 20000)])
def test_wilson_is_scipys(right, total):
    reference = binomtest(right, total).proportion_ci(0.95, method="wilson")
    assert wilson(right, total) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_wilson_of_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("counts", [(0, 0), (3, 9), (9, 3), (0, 12), (5, 5), (309, 0), (900, 1001)])
def test_mcnemar_is_scipys_exact_test(counts):
    reference = binomtest(counts[0], sum(counts)).pvalue if sum(counts) else 1.0
    assert mcnemar(*counts) == pytest.approx(reference, rel=1e-9)


def test_paired_difference():
    difference, low, high = paired_difference(only_a=10, only_b=30, total=200)
    assert difference == pytest.approx(0.1)
    # By resampling the pairs: -1, 0 and 1 are drawn 10, 160 and 30 times.
    pairs = np.repeat([-1, 0, 1], [10, 160, 30])
    draws = np.random.default_rng(0).choice(pairs, (20000, 200)).mean(axis=1)
    # 20,000 draws leave the quantiles uncertain by a few thousandths.
    assert (low, high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.006)


def test_confusion_is_sklearns():
    random = np.random.default_rng(0)
    labels, answers = random.integers(0, 5, (2, 300))
    reference = sklearn_confusion(labels, answers, labels=range(5))
    assert np.array_equal(confusion_matrix(labels, answers, 5), reference)


def test_unreadable_videos_are_not_confused():
    matrix = confusion_matrix(np.array([0, 1, 1]), np.array([-1, 0, 1]), 3)
    assert matrix.tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 0]]


def test_pairs_by_number_then_by_share_of_the_class():
    matrix = np.array([[90, 2, 0], [2, 3, 0], [5, 0, 1]])
    assert confused_pairs(matrix, 9) == [(2, 0), (1, 0), (0, 1)]
    assert confused_pairs(matrix, 1) == [(2, 0)]


def test_calibration_by_hand():
    # Two bins: 60 to 67 % with 2 of 4 right, and the last one, which holds 1 itself, 3 of 3.
    confidence = np.array([0.61, 0.61, 0.65, 0.65, 0.94, 0.96, 1.0])
    calibration = calibrate(confidence, np.array([1, 0, 1, 0, 1, 1, 1], dtype=bool))
    assert calibration.counts.tolist() == [0] * 9 + [4] + [0] * 4 + [3]
    assert calibration.confidence[[9, 14]] == pytest.approx([0.63, 2.9 / 3])
    assert calibration.accuracy[[9, 14]] == pytest.approx([0.5, 1.0])
    assert calibration.mean_confidence == pytest.approx(confidence.mean())
    assert calibration.mean_accuracy == pytest.approx(5 / 7)
    assert calibration.expected_error == pytest.approx((4 * 0.13 + 3 * (1 - 2.9 / 3)) / 7)


def test_who_says_what_is_true_is_calibrated():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.2, 1, 50000)
    honest = calibrate(confidence, random.uniform(size=50000) < confidence)
    boastful = calibrate(confidence, random.uniform(size=50000) < confidence - 0.2)
    assert honest.expected_error < 0.01  # chance alone: bins of 4,000 are off by 0.7 %
    assert boastful.expected_error == pytest.approx(0.2, abs=0.01)


def test_views_by_hand():
    labels = np.array([0, 1, 1, 0])
    views = np.array([[0, 0, 0, 0], [1, 1, 0, 1], [1, 0, 0, 0], [-1, -1, -1, -1]])
    accuracy = view_accuracy(views, labels, num_crops=2)
    assert accuracy.grid.tolist() == [[0.75, 0.5], [0.25, 0.5]]  # (clips, crops)
    assert (accuracy.num_agreed, accuracy.num_agreed_right) == (1, 1)


def test_averages():
    assert averages([1, 2, 3, 4, 6], most=2).tolist() == [2, 5]
    assert averages([1, 2], most=9).tolist() == [1, 2]
    assert averages([], most=9).tolist() == []
