"""Numbers and findings as a person reads them."""

from __future__ import annotations

from timesformer.report.results import TestedRun
from timesformer.report.statistics import Calibration, ViewAccuracy

NB = "\u00a0"  # keeps a number and its sign on one line

PROBABILITIES = {
    "sum": "Probabilities are the softmax of the logits, averaged over the views of a video.",
    "softmax": "Probabilities are those of the single views, averaged.",
    "max": "Probabilities are the softmax of each class's highest logit among the views.",
}


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}{NB}%"


def points(share: float) -> str:
    return f"{100 * share:.1f}{NB}points"


def signed(share: float) -> str:
    """In points, with its sign: ``+1.5``, ``−0.3``."""
    return f"{100 * share:+.1f}".replace("-", "−")


def count(number: int, noun: str, nouns: str = "") -> str:
    """``1 video``, ``20,000 videos``."""
    return f"{number:,}{NB}{noun if number == 1 else nouns or noun + 's'}"


def views_in_words(run: TestedRun) -> str:
    total = run.num_views
    if total is None:
        return "not noted"
    if total == 1:
        return "one of each video"
    method = run.settings.get("DATA.ENSEMBLE_METHOD")
    crops = run.num_crops
    grid = f" ({total // crops} in time, {crops} crops)" if total % crops == 0 else ""
    return f"{total} of each video{grid}, put together by {method}"


def weights_in_words(run: TestedRun) -> str:
    noted = run.history.test.get("checkpoint") or run.settings.get("TEST.CHECKPOINT_FILE_PATH")
    return str(noted or "the newest good checkpoint of the folder when it was tested")


def calibration_in_words(calibration: Calibration) -> str:
    sure, right = calibration.mean_confidence, calibration.mean_accuracy
    verdict = "about as sure as it is right"
    if abs(sure - right) >= 0.02:
        verdict = "surer than it is right" if sure > right else "less sure than it is right"
    return (
        f"The model is {verdict}: its answers have a probability of {percent(sure)} on average, "
        f"and {percent(right)} of them are right."
    )


def gain_in_words(views: ViewAccuracy, run: TestedRun) -> str:
    single, together = float(views.grid.mean()), float(run.is_right.mean())
    gain = together - single
    verb = "adds" if gain >= 0 else "costs"
    return (
        f"One view alone is right in {percent(single)} of the videos on average, all "
        f"{views.grid.size} together in {percent(together)}: the ensemble {verb} "
        f"{points(abs(gain))}."
    )


def agreement_in_words(views: ViewAccuracy, run: TestedRun) -> str:
    agreed, total = views.num_agreed, int(run.is_read.sum())
    others = total - agreed
    others_right = int(run.is_right.sum()) - views.num_agreed_right
    words = f"In {agreed:,} of {count(total, 'video')} all views give the same answer"
    if agreed:
        words += f", and {percent(views.num_agreed_right / agreed)} of these are right"
    if others:
        words += f"; of the other {others:,} it is {percent(others_right / others)}"
    return words + "."
