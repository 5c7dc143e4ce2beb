"""What a page about several runs says: all against the first of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from timesformer.report import figures
from timesformer.report.content import Part, Report
from timesformer.report.figures import Figure
from timesformer.report.results import TestedRun
from timesformer.report.statistics import Ints, mcnemar, paired_difference, wilson
from timesformer.report.words import count, percent, points, signed

PLACES = {"OUTPUT_DIR", "TEST.SAVE_RESULTS_PATH"}  # differ without a difference
LIKELY_CHANCE = 0.05


@dataclass(frozen=True)
class Pairing:
    """Two runs on the videos that both tested: how many both, one or none of them gets right."""

    first: str
    other: str
    both: int
    only_first: int
    only_other: int
    neither: int
    num_relabelled: int  # left out: their class is another one in the other run

    @property
    def total(self) -> int:
        return self.both + self.only_first + self.only_other + self.neither

    def words(self) -> str:
        left_out = ""
        if self.num_relabelled:
            videos = count(self.num_relabelled, "video")
            left_out = f" {videos} of another class in the one than in the other are left out."
        if not self.total:
            return f"{self.first} and {self.other} tested nothing in common.{left_out}"
        return (
            f"Of {count(self.total, 'video')} that both tested, both get {self.both:,} right, only "
            f"{self.first} {self.only_first:,}, only {self.other} {self.only_other:,}, and neither "
            f"{self.neither:,}.{left_out} {self.verdict()}"
        )

    def verdict(self) -> str:
        if not self.only_first + self.only_other:
            return "There is no video that only one of them gets right."
        gain, low, high = paired_difference(self.only_first, self.only_other, self.total)
        p = mcnemar(self.only_first, self.only_other)
        likely = "chance may well be all there is to it"
        return (
            f"{self.other} is {points(abs(gain))} {'better' if gain >= 0 else 'worse'} "
            f"(difference {signed(gain)}, 95 % interval {signed(low)} to {signed(high)}). "
            f"Were they equally good, chance would split the "
            f"{self.only_first + self.only_other:,} at least as unevenly with probability "
            f"{probability(p)} (McNemar's exact test): "
            f"{likely if p >= LIKELY_CHANCE else 'hardly chance'}."
        )


@dataclass(frozen=True)
class ClassChange:
    """A class: its accuracy in the first run, and how much more it is in each other, as shares."""

    name: str
    videos: int
    top1: float
    changes: list[float | None]  # None where a run has no videos of it


class Comparison:
    """The parts of the page; at least two runs."""

    def __init__(self, runs: Sequence[TestedRun]) -> None:
        self.runs = list(runs)
        self.names = distinct_names(runs)
        self.reports = [Report(run) for run in runs]

    def accuracies(self) -> Figure:
        shares = []
        for run in self.runs:
            right, total = int(run.is_right.sum()), len(run.videos)
            shares.append((right / total, *wilson(right, total)))
        return figures.intervals(self.names, shares)

    def settings(self) -> list[tuple[str, list[Any]]]:
        """The keys that differ, and their values in each run; None where it has no config."""
        known = sorted({name for run in self.runs for name in run.settings.values} - PLACES)
        rows = []
        for name in known:
            values = [value_of(run, name) for run in self.runs]
            told = [v for v, run in zip(values, self.runs, strict=True) if run.settings.file]
            if any(value != told[0] for value in told):
                rows.append((name, values))
        return rows

    def curve_part(self) -> Part:
        histories = dict(zip(self.names, (run.history for run in self.runs), strict=True))
        drawn = [
            ("Validation", figures.accuracy_curves(histories)),
            ("Loss", figures.loss_curves(histories)),
            ("Learning rate", figures.rate_curves(histories)),
        ]
        found = [(title, drawing) for title, drawing in drawn if drawing is not None]
        return Part(found, "" if found else "None of the runs noted a training.")

    def pairings(self) -> list[Pairing]:
        return [
            pair_up(self.runs[0], other, self.names[0], name)
            for other, name in zip(self.runs[1:], self.names[1:], strict=True)
        ]

    def pairing_figure(self) -> Figure | None:
        pairings = [pairing for pairing in self.pairings() if pairing.total]
        if not pairings:
            return None
        parts = {
            "both right": [pairing.both for pairing in pairings],
            f"only {self.names[0]}": [pairing.only_first for pairing in pairings],
            "only the other": [pairing.only_other for pairing in pairings],
            "neither": [pairing.neither for pairing in pairings],
        }
        return figures.stacked([pairing.other for pairing in pairings], parts)

    def class_changes(self) -> list[ClassChange]:
        """Of the first run's classes, by name; those that change most first."""
        others = [{row.name: row for row in report.classes} for report in self.reports[1:]]
        rows = []
        for row in self.reports[0].classes:
            found = [classes.get(row.name) for classes in others]
            changes = [None if other is None else other.top1 - row.top1 for other in found]
            rows.append(ClassChange(row.name, row.videos, row.top1, changes))
        return sorted(rows, key=lambda row: -max(abs(change or 0) for change in row.changes))


def distinct_names(runs: Sequence[TestedRun]) -> list[str]:
    """The folders' names; whole paths of those with the same name."""
    times = Counter(run.name for run in runs)
    return [run.name if times[run.name] == 1 else str(run.folder) for run in runs]


def value_of(run: TestedRun, name: str) -> Any:
    from timesformer.config.defaults import KEYS

    default = KEYS[name].default if name in KEYS else None
    return run.settings.values.get(name, default) if run.settings.file else None


def pair_up(a: TestedRun, b: TestedRun, name_a: str, name_b: str) -> Pairing:
    """Compare the answers to the same videos; one that cannot be read counts as wrong."""
    in_a, in_b = shared_videos(a.videos, b.videos)
    same = np.array(
        [
            a.class_names[i] == b.class_names[j]
            for i, j in zip(a.labels[in_a], b.labels[in_b], strict=True)
        ],
        dtype=bool,
    )
    right_a, right_b = a.is_right[in_a][same], b.is_right[in_b][same]
    return Pairing(
        first=name_a,
        other=name_b,
        both=int((right_a & right_b).sum()),
        only_first=int((right_a & ~right_b).sum()),
        only_other=int((~right_a & right_b).sum()),
        neither=int((~right_a & ~right_b).sum()),
        num_relabelled=int((~same).sum()),
    )


def shared_videos(a: Sequence[str], b: Sequence[str]) -> tuple[Ints, Ints]:
    """Indices in `a` and in `b` of what both name.

    By path; if they share none, by the path within each list's common folder, since a data set may
    have been moved or prepared. A path that stands in a list several times, for several parts of a
    long video, is paired in its order.
    """
    places = {key: index for index, key in enumerate(numbered(a))}
    pairs = [(places[key], j) for j, key in enumerate(numbered(b)) if key in places]
    if not pairs and (inner_a := within(a)) != list(a) and (inner_b := within(b)) != list(b):
        return shared_videos(inner_a, inner_b)
    columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return columns[0], columns[1]


def numbered(videos: Iterable[str]) -> list[tuple[str, int]]:
    seen: Counter[str] = Counter()
    keys = []
    for video in videos:
        keys.append((video, seen[video]))
        seen[video] += 1
    return keys


def within(videos: Sequence[str]) -> list[str]:
    """Paths relative to the folder that all of them lie in; as they are where there is none."""
    folders = [video[: video.rfind(os.sep) + 1] for video in videos]
    shared = os.path.commonprefix(folders)  # noqa: RUF071 - cut back to whole folders next
    start = shared.rfind(os.sep) + 1
    return [video[start:] for video in videos]


def probability(p: float) -> str:
    if p < 1e-12:
        return "below 10⁻¹²"
    return percent(p, 0) if p >= 0.1 else f"{p:.2g}"
