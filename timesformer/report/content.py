"""What the page of one run says, as plain values for its template."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from math import nan

import numpy as np

from timesformer.report import figures
from timesformer.report.classes import class_rows, most_confused, pair_rows
from timesformer.report.figures import Figure
from timesformer.report.frames import Strip, strip_of
from timesformer.report.results import TestedRun
from timesformer.report.statistics import (
    Calibration,
    ViewAccuracy,
    calibrate,
    confused_pairs,
    confusion_matrix,
    view_accuracy,
    wilson,
)
from timesformer.report.words import (
    PROBABILITIES,
    agreement_in_words,
    calibration_in_words,
    count,
    gain_in_words,
    percent,
    views_in_words,
    weights_in_words,
)

MOST_MISTAKES = 12
MOST_FAILURES = 200
MATRIX_AT_ONCE = 40  # classes that a matrix shows readably


@dataclass(frozen=True)
class Tile:
    """A number in large type."""

    title: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Part:
    """A section of figures: what they say in `words`, and the sentence instead of them."""

    figures: list[tuple[str, Figure]]
    words: str


@dataclass(frozen=True)
class Mistake:
    """A wrong answer and what the model thought of it; probabilities, None where unknown."""

    video: str
    name: str
    taken_for: str
    confidence: float | None
    right_confidence: float | None
    strip: Strip


class Report:
    """The parts of the page, in its order; each is made when the template asks for it."""

    def __init__(self, run: TestedRun) -> None:
        self.run = run
        self.matrix = confusion_matrix(run.labels, run.predictions, run.num_classes)
        self.calibration = calibration_of(run)
        self.views = views_of(run)
        self.classes = class_rows(run, self.matrix)
        self.pairs = pair_rows(run, self.matrix)

    @property
    def num_failed(self) -> int:
        return int((~self.run.is_read).sum())

    def tiles(self) -> Iterator[Tile]:
        run = self.run
        yield accuracy_tile(run, 1)
        if run.num_classes > 5:
            yield accuracy_tile(run, 5)
        mean = float(np.mean([row.top1 for row in self.classes]))
        of = "class" if len(self.classes) == 1 else f"mean of {len(self.classes)} classes"
        yield Tile("Per class", percent(mean, 2), of)
        failed = f"{self.num_failed:,} unreadable" if self.num_failed else "all readable"
        yield Tile("Videos", f"{len(run.videos):,}", failed)
        if self.calibration is not None:
            yield Tile("Calibration", percent(self.calibration.expected_error), "expected error")

    def facts(self) -> Iterator[tuple[str, str]]:
        """Terms and words: what was tested, how, and where it lies."""
        run, get = self.run, self.run.settings.get
        if run.settings.file is not None:
            yield "Model", f"{get('MODEL.MODEL_NAME')}, {get('TIMESFORMER.ATTENTION_TYPE')}"
            yield "Data", f"{get('TEST.DATASET')}, {get('DATA.PATH_TO_DATA_DIR') or 'no folder'}"
            side = get("DATA.TEST_CROP_SIZE")
            yield "Clips", f"{get('DATA.NUM_FRAMES')} frames of {side} × {side} pixels"
        yield "Views", views_in_words(run)
        yield "Weights", weights_in_words(run)
        yield "Written", f"{run.date.day} {run.date:%B %Y, %H:%M}"
        yield "Folder", str(run.folder.resolve())

    def findings(self) -> Iterator[str]:
        """The few sentences that somebody in a hurry should read."""
        if len(self.classes) > 1:
            worst, best = self.classes[0], self.classes[-1]
            yield (
                f"Hardest is “{worst.name}”: {worst.right} of {count(worst.videos, 'video')} "
                f"right. Easiest is “{best.name}”: {best.right} of {best.videos}."
            )
        if self.pairs:
            pair = self.pairs[0]
            yield (
                f"The most frequent mistake: “{pair.name}” taken for “{pair.taken_for}”, "
                f"{pair.times} of {count(pair.videos, 'video')}."
            )
        if self.calibration is not None:
            yield calibration_in_words(self.calibration)
        if self.views is not None and self.views.grid.size > 1:
            yield gain_in_words(self.views, self.run)

    def view_part(self) -> Part:
        run = self.run
        if run.view_predictions is None:
            return Part(
                [],
                "These predictions are of an older version, which did not keep the "
                "answers of single views. Test again to see them here.",
            )
        if self.views is None:
            return Part(
                [],
                f"There are {run.num_views} views, which TEST.NUM_SPATIAL_CROPS "
                f"{run.num_crops} does not divide: config and predictions are not of "
                "the same test.",
            )
        if self.views.grid.size == 1:
            return Part(
                [],
                "The test took a single view of each video. Several "
                "(TEST.NUM_ENSEMBLE_VIEWS, TEST.NUM_SPATIAL_CROPS) are usually right "
                "a little more often together.",
            )
        drawing = figures.view_accuracies(self.views.grid, float(run.is_right.mean()))
        words = f"{gain_in_words(self.views, run)} {agreement_in_words(self.views, run)}"
        return Part([("Accuracy of each view alone", drawing)], words)

    def view_rows(self) -> list[tuple[str, float]]:
        """Names and accuracies of what is averaged over views, where there are several."""
        grid = self.views.grid if self.views is not None else np.zeros((1, 1))
        rows = []
        if grid.shape[1] > 1:
            names = figures.crop_names(grid.shape[1])
            rows += list(zip(names, grid.mean(axis=0).tolist(), strict=True))
        if grid.shape[0] > 1:
            means = grid.mean(axis=1).tolist()
            rows += [(f"temporal view {i}", mean) for i, mean in enumerate(means, start=1)]
        return rows

    def curve_part(self) -> Part:
        histories = {self.run.name: self.run.history}
        drawn = [
            ("Loss", figures.loss_curves(histories)),
            ("Accuracy", figures.accuracy_curves(histories)),
            ("Learning rate", figures.rate_curves(histories)),
        ]
        found = [(title, drawing) for title, drawing in drawn if drawing is not None]
        nothing = "No training is noted in metrics.jsonl: this run only tested."
        return Part(found, "" if found else nothing)

    def confusion_part(self) -> Part:
        """The whole matrix where it is readable; else the classes most confused, and then all."""
        names, matrix = self.run.class_names, self.matrix
        if len(names) <= MATRIX_AT_ONCE:
            return Part([("", figures.confusion(matrix, names))], "")
        chosen = most_confused(self.pairs_of_labels(), MATRIX_AT_ONCE)
        part = figures.confusion(matrix[np.ix_(chosen, chosen)], [names[i] for i in chosen])
        drawn = [("", figures.confusion(matrix, names))]
        if len(chosen) > 1:
            drawn.insert(0, ("", part))
        words = f"The {len(chosen)} classes that are most often confused, of {len(names)}."
        return Part(drawn, words if len(chosen) > 1 else "")

    def pairs_of_labels(self) -> list[tuple[int, int]]:
        return confused_pairs(self.matrix, self.matrix.size)

    def calibration_part(self) -> Part:
        if self.calibration is None:
            unknown = "No file tells of how many views the scores are: they are no probabilities."
            return Part([], unknown if self.run.is_read.any() else "No video could be read.")
        drawing = figures.reliability(self.calibration)
        return Part([("", drawing)], calibration_in_words(self.calibration))

    def probability_words(self) -> str:
        """How the probabilities came to be."""
        return PROBABILITIES[self.run.settings.get("DATA.ENSEMBLE_METHOD")]

    def mistakes(self) -> Iterator[Mistake]:
        """Wrong answers, the surest first."""
        run = self.run
        for index in surest_mistakes(run, MOST_MISTAKES):
            known = None if run.probabilities is None else run.probabilities[index]
            answer, label = int(run.predictions[index]), int(run.labels[index])
            yield Mistake(
                video=run.videos[index],
                name=run.class_names[label],
                taken_for=run.class_names[answer],
                confidence=None if known is None else float(known[answer]),
                right_confidence=None if known is None else float(known[label]),
                strip=strip_of(
                    run.videos[index],
                    span=(nan, nan) if run.spans is None else tuple(run.spans[index]),
                    frames_fps=run.settings.get("DATA.FRAMES_FPS"),
                    backward=run.backward is not None and bool(run.backward[index]),
                ),
            )

    def num_mistakes(self) -> int:
        return int((self.run.is_read & ~self.run.is_right).sum())

    def failures(self) -> list[tuple[str, str]]:
        """Paths and reasons of at most `MOST_FAILURES` videos."""
        failed = np.flatnonzero(~self.run.is_read)[:MOST_FAILURES]
        paths = [self.run.videos[i] for i in failed]
        return [(path, self.run.failures.get(path, "not noted")) for path in paths]

    def noted_command(self) -> str:
        """The command line of the test; '' where it was started by another program."""
        noted = str(self.run.history.test.get("command", ""))
        return f"python {noted}" if "run_net.py" in noted else ""

    def command(self) -> str:
        file = self.run.settings.file
        return "" if file is None else f"python tools/run_net.py --cfg {shlex.quote(str(file))}"


def accuracy_tile(run: TestedRun, k: int) -> Tile:
    right, total = int((run.ranks < k).sum()), len(run.videos)
    low, high = wilson(right, total)
    return Tile(f"Top-{k}", percent(right / total, 2), f"{100 * low:.1f} to {percent(high)}")


def calibration_of(run: TestedRun) -> Calibration | None:
    """None where no video could be read, or no file tells what the scores are worth."""
    if run.probabilities is None or not run.is_read.any():
        return None
    return calibrate(run.probabilities[run.is_read].max(axis=1), run.is_right[run.is_read])


def views_of(run: TestedRun) -> ViewAccuracy | None:
    """None where no file has the views, or the config belongs to another number of them."""
    if run.view_predictions is None:
        return None
    if run.view_predictions.shape[1] % run.num_crops:
        return None
    return view_accuracy(run.view_predictions, run.labels, run.num_crops)


def surest_mistakes(run: TestedRun, most: int) -> list[int]:
    """Indices of wrong answers by falling probability; in the order of the list without any."""
    wrong = np.flatnonzero(run.is_read & ~run.is_right)
    if run.probabilities is not None:
        sure = run.probabilities[wrong, run.predictions[wrong]]
        wrong = wrong[np.argsort(-sure, kind="stable")]
    return [int(index) for index in wrong[:most]]
