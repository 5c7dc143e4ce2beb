"""What a validation and the test show beside their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timesformer.evaluation.ensemble import probabilities

if TYPE_CHECKING:
    from timesformer.datasets.video import VideoDataset
    from timesformer.engine.evaluate import Scorer, Scores
    from timesformer.writers.showing import Showing


def show_predictions(
    showing: Showing, split: str, step: int, scores: Scores, dataset: VideoDataset, scorer: Scorer
) -> None:
    """Confusions and clips, where they are asked for; `scores` is of all of `dataset`, in order."""
    num_classes = scores.scores.shape[1]
    showing.predictions(
        split,
        step,
        probabilities(scores.scores, scorer.ensemble, scorer.num_views),
        scores.labels,
        [dataset.videos.name_of(label) for label in range(num_classes)],
        lambda index: dataset[index].views,
    )
