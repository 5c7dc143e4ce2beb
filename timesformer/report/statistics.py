"""What predictions amount to: plain functions of arrays. n videos, K classes, V views."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

Z_95 = 1.959963984540054  # 95 % of a normal distribution lie within so many standard deviations
NUM_BINS = 15  # of the confidence, as in Guo et al., arXiv 1706.04599


def wilson(right: float, total: int) -> tuple[float, float]:
    """The 95 % interval of Wilson for a share, from 0 to 1; (0, 1) of no videos.

    Other than the plain one it stays between 0 and 1 and means something at 0 of 10 and 10 of 10.
    """
    if total == 0:
        return 0.0, 1.0
    share, z2 = right / total, Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def confusion_matrix(labels: Ints, predictions: Ints, num_classes: int) -> Ints:
    """int64 (K, K): row, the class of a video; column, what it was taken for.

    Videos that could not be read (a prediction of -1) are left out.
    """
    read = predictions >= 0
    places = labels[read] * num_classes + predictions[read]
    return np.bincount(places, minlength=num_classes**2).reshape(num_classes, num_classes)


def confused_pairs(matrix: Ints, most: int) -> list[tuple[int, int]]:
    """Pairs (class, what it was taken for), the most frequent first; at most `most`.

    Of equally frequent pairs the one that is the larger share of its class stands first.
    """
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    rows, columns = np.nonzero(wrong)
    counts, sizes = wrong[rows, columns], matrix.sum(axis=1)[rows]
    order = np.lexsort((columns, rows, sizes, -counts))[:most]
    return [(int(rows[i]), int(columns[i])) for i in order]


@dataclass(frozen=True)
class Calibration:
    """Videos by how sure the model was of its answer, in `NUM_BINS` bins of equal width.

    Attributes:
        counts: int64 (NUM_BINS,), videos in each bin.
        confidence: float64 (NUM_BINS,), their mean probability of the predicted class; 0 of none.
        accuracy: float64 (NUM_BINS,), the share of them that is right; 0 of none.
    """

    counts: Ints
    confidence: Floats
    accuracy: Floats

    @property
    def mean_confidence(self) -> float:
        return float(self.confidence @ self.counts / max(self.counts.sum(), 1))

    @property
    def mean_accuracy(self) -> float:
        return float(self.accuracy @ self.counts / max(self.counts.sum(), 1))

    @property
    def expected_error(self) -> float:
        """ECE: how far confidence and accuracy of a bin are apart, on average over the videos."""
        gaps = np.abs(self.confidence - self.accuracy)
        return float(gaps @ self.counts / max(self.counts.sum(), 1))


def calibrate(confidence: Floats, is_right: Bools) -> Calibration:
    """Sort videos into bins by `confidence`, the probability of the predicted class, (n,)."""
    bins = np.minimum((confidence * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)
    divisor = np.maximum(counts, 1)
    return Calibration(
        counts=counts,
        confidence=np.bincount(bins, weights=confidence, minlength=NUM_BINS) / divisor,
        accuracy=np.bincount(bins, weights=is_right, minlength=NUM_BINS) / divisor,
    )


@dataclass(frozen=True)
class ViewAccuracy:
    """What single views are worth.

    Attributes:
        grid: float64 (clips, crops), the share of videos that each view alone gets right.
        num_agreed: videos of which all views say the same.
        num_agreed_right: those of them that are right.
    """

    grid: Floats
    num_agreed: int
    num_agreed_right: int


def view_accuracy(view_predictions: Ints, labels: Ints, num_crops: int) -> ViewAccuracy:
    """Of int64 (n, V) predictions, temporal view major; V is a multiple of `num_crops`."""
    is_right = view_predictions == labels[:, None]
    agreed = (view_predictions == view_predictions[:, :1]).all(axis=1)
    agreed &= view_predictions[:, 0] >= 0
    return ViewAccuracy(
        grid=is_right.mean(axis=0).reshape(-1, num_crops),
        num_agreed=int(agreed.sum()),
        num_agreed_right=int((agreed & is_right[:, 0]).sum()),
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """The p value of McNemar's exact test, two-sided.

    Videos that both get right, or neither, tell nothing of who is better. If both were equally
    good, each of the others would be a toss of a coin: this is the probability of a split at least
    as uneven as `only_a` to `only_b`.
    """
    tosses = only_a + only_b
    term = ways = 1
    for i in range(min(only_a, only_b)):
        term = term * (tosses - i) // (i + 1)  # binomials, each from the one before
        ways += term
    return min(1.0, 2 * ways / 2**tosses)


def paired_difference(only_a: int, only_b: int, total: int) -> tuple[float, float, float]:
    """Accuracy of B less that of A on the same videos, and its 95 % interval (normal): shares."""
    difference = (only_b - only_a) / total
    variance = (only_a + only_b) / total - difference**2
    half = Z_95 * math.sqrt(variance / total)
    return difference, max(difference - half, -1.0), min(difference + half, 1.0)


def averages(values: Sequence[float], most: int) -> Floats:
    """At most `most` means of neighbours, in their order: a long curve that a page can hold."""
    parts = np.array_split(np.asarray(values, dtype=np.float64), min(most, max(len(values), 1)))
    return np.array([part.mean() for part in parts if len(part)])
