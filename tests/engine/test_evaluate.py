"""How scores come about: whole passes, whatever the videos are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from timesformer.datasets.batch import Batch, Failure, Item, collate
from timesformer.datasets.on_device import Normalizer
from timesformer.engine.evaluate import Scorer, Scores, Scoring
from timesformer.engine.prepare import Runtime
from timesformer.errors import UserError

CPU = torch.device("cpu")
CLASSES = 5


class Network(nn.Module):
    """Logits that tell clips apart, and the size of each pass."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.weights = torch.randn(3, CLASSES)

    def forward(self, clips: Tensor) -> Tensor:
        self.sizes.append(len(clips))
        return clips.mean(dim=(2, 3, 4)) @ self.weights


def batches(readable: list[bool], num_views: int, videos_at_a_time: int) -> list[Batch]:
    items = [
        Item(
            torch.randint(256, (num_views, 3, 2, 4, 4), dtype=torch.uint8) if there else None,
            label=index % CLASSES,
            index=index,
            failures=() if there else (Failure(f"{index}.mp4", "gone"),),
        )
        for index, there in enumerate(readable)
    ]
    return [
        collate(items[first : first + videos_at_a_time])
        for first in range(0, len(items), videos_at_a_time)
    ]


def scored(
    parts: list[Batch], num_views: int, clips_per_pass: int, ensemble: str = "sum"
) -> tuple[Scores, Scorer]:
    torch.manual_seed(0)
    normalize = Normalizer(mean=[0.5] * 3, std=[0.2] * 3, bgr=False, device=CPU)
    scorer = Scorer(
        Network(),
        Runtime(CPU, "fp32"),
        normalize,
        num_classes=CLASSES,
        ensemble=ensemble,
        num_views=num_views,
        clips_per_pass=clips_per_pass,
    )
    scoring = Scoring(scorer)
    for batch in parts:
        scoring.add(batch)
    return scoring.finish(), scorer


@pytest.mark.parametrize("num_views", [1, 3, 30])
@pytest.mark.parametrize("clips_per_pass", [1, 4, 8])
@pytest.mark.parametrize(
    "readable",
    [
        [True] * 11,
        [True, False, True, True, False, False, False, True, True, True, False],
        [False] * 5,
        [],
    ],
    ids=["all", "some", "none", "nothing"],
)
def test_passes_are_whole_and_videos_keep_their_scores(
    readable: list[bool], num_views: int, clips_per_pass: int
) -> None:
    parts = batches(readable, num_views, max(1, clips_per_pass // num_views))
    scores, scorer = scored(parts, num_views, clips_per_pass)
    whole, rest = divmod(sum(readable) * num_views, clips_per_pass)
    assert scorer.model.sizes == [clips_per_pass] * whole + [rest] * (rest > 0)
    assert scores.indices.tolist() == list(range(len(readable)))
    assert scores.labels.tolist() == [index % CLASSES for index in range(len(readable))]
    assert scores.scores.shape == (len(readable), CLASSES)
    assert scores.scores.isnan().all(dim=1).tolist() == [not there for there in readable]
    assert len(scores.failures) == len(readable) - sum(readable)
    one_by_one, _ = scored(parts, num_views, clips_per_pass=1)
    assert torch.allclose(scores.scores, one_by_one.scores, atol=1e-5, equal_nan=True)
    assert scores.view_predictions.shape == (len(readable), num_views)
    assert torch.equal(scores.view_predictions, one_by_one.view_predictions)
    assert (scores.view_predictions < 0).all(dim=1).tolist() == [not there for there in readable]


def test_each_video_has_the_ensemble_of_its_own_views() -> None:
    parts = batches([True, False, True], num_views=3, videos_at_a_time=2)
    scores, scorer = scored(parts, num_views=3, clips_per_pass=4, ensemble="softmax")
    for index, views in ((0, parts[0].views[0]), (2, parts[1].views[0])):
        expected = scorer.logits(views).softmax(dim=-1).sum(dim=0)
        assert torch.allclose(scores.scores[index], expected, atol=1e-6)
        assert torch.equal(scores.view_predictions[index], scorer.logits(views).argmax(dim=-1))


def test_scores_that_are_no_numbers_are_said() -> None:
    parts = batches([True], num_views=1, videos_at_a_time=1)
    normalize = Normalizer(mean=[0.5] * 3, std=[0.0] * 3, bgr=False, device=CPU)
    scorer = Scorer(
        Network(),
        Runtime(CPU, "fp32"),
        normalize,
        CLASSES,
        ensemble="sum",
        num_views=1,
        clips_per_pass=1,
    )
    with pytest.raises(UserError, match="the model's scores are not finite"):
        Scoring(scorer).add(parts[0])
