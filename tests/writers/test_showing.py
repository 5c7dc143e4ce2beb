"""What is shown of weights, gradients and predictions, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from timesformer.logs import Silent
from timesformer.writers.pictures import MOST_NAMED, captioned, confusion_matrix, wrapped
from timesformer.writers.reporter import Reporter
from timesformer.writers.showing import Showing, confusion_counts, histogram_of, spread
from timesformer.writers.tensorboard import TensorBoard


def events_of(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"histograms": 0})  # all of them
    events.Reload()
    return events


def steps_with_histograms(folder: Path, histograms: int, **optimizer: Any) -> EventAccumulator:
    """Four epochs of two steps of a network with one layer."""
    reporter: Silent = Reporter([TensorBoard(folder)])
    showing = Showing(reporter, histograms=histograms)
    model = nn.Linear(3, 2)
    nn.init.constant_(model.bias, 5.0)
    sgd = torch.optim.SGD(model.parameters(), lr=0.0, **optimizer)
    showing.follow(model, sgd)
    for epoch in range(1, 5):
        for step in range(2):
            if step == 1:
                showing.await_last_step(epoch)
            (model(torch.ones(4, 3)).sum() * epoch).backward()
            sgd.step()
            sgd.zero_grad()
    reporter.close()
    return events_of(folder)


def test_histograms_are_of_the_last_steps_of_the_epochs_that_are_due(tmp_path: Path) -> None:
    events = steps_with_histograms(tmp_path, 2)
    found = events.Histograms("gradients/bias")
    assert [event.step for event in found] == [2, 4]
    # Four clips, times the epoch; both values are the same, and lie in the middle.
    assert [np.mean([e.histogram_value.min, e.histogram_value.max]) for e in found] == [8, 16]
    weights = events.Histograms("weights/bias")[0].histogram_value
    assert weights.num == 2
    assert weights.min < 5 < weights.max


def test_no_histograms_unless_asked_for(tmp_path: Path) -> None:
    assert steps_with_histograms(tmp_path, 0).Tags()["histograms"] == []


def test_a_histogram_counts_what_is_finite() -> None:
    values = torch.tensor([0.0, 1.0, 1.0, float("inf"), float("nan")])
    found = histogram_of(values)
    assert found is not None
    assert found.counts.sum() == 3
    assert (found.counts[0], found.counts[-1]) == (1, 2)
    assert (found.edges[0], found.edges[-1]) == (0, 1)
    assert histogram_of(values[3:]) is None


def test_predictions_as_a_matrix_and_as_clips(tmp_path: Path) -> None:
    reporter: Silent = Reporter([TensorBoard(tmp_path)])
    showing = Showing(reporter, num_clips=3, confusions=True)
    scores = torch.tensor([[0.9, 0.1], [0.2, 0.8], [torch.nan, torch.nan], [0.6, 0.4]])
    labels = torch.tensor([0, 0, 1, 1])
    views = torch.zeros(3, 3, 4, 16, 16, dtype=torch.uint8)
    asked: list[int] = []

    def views_of(index: int) -> torch.Tensor | None:
        asked.append(index)
        return None if index == 2 else views

    showing.predictions("val", 3, scores, labels, ["up", "down"], views_of)
    reporter.close()
    assert asked == [0, 2, 3]
    images = events_of(tmp_path).Tags()["images"]
    assert sorted(images) == ["val_clips/00", "val_clips/02", "val_confusion"]


def test_who_could_not_be_read_was_taken_for_nothing() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [torch.nan] * 3, [0.6, 0.4, 0.0]])
    counts = confusion_counts(scores, torch.tensor([0, 0, 1, 1]))
    assert counts.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(("number", "total"), [(4, 200), (5, 3), (1, 9), (0, 9), (2, 1)])
def test_clips_are_spread_over_the_list(number: int, total: int) -> None:
    places = spread(number, total)
    assert len(places) == min(number, total)
    assert len(set(places)) == len(places)
    assert all(0 <= place < total for place in places)
    if len(places) > 1:
        assert (places[0], places[-1]) == (0, total - 1)


@pytest.mark.parametrize("num_classes", [2, MOST_NAMED, 400])
def test_a_matrix_of_any_size_can_be_drawn(num_classes: int) -> None:
    counts = np.eye(num_classes, dtype=int)
    picture = confusion_matrix(counts, [f"class {k}" for k in range(num_classes)])
    assert picture.encoded.startswith(b"\x89PNG")
    assert 400 <= picture.width <= 1700


def test_any_name_can_be_drawn() -> None:
    names = ["$_$", "caf\udce9", "x" * 200]
    assert confusion_matrix(np.eye(3, dtype=int), names).width <= 700
    frame = np.zeros((64, 300, 3), np.uint8)
    assert captioned(frame, names[1]).tobytes() == captioned(frame, "caf\\udce9").tobytes()


def test_words_are_wrapped_to_the_width_of_the_clip() -> None:
    words = "playing the violin in the open air, predicted playing the cello (51%)"
    lines = wrapped(words, 192)
    assert " ".join(lines) == words
    assert len(lines) > 1
    image = captioned(np.zeros((224, 300, 3), np.uint8), words)
    assert image.width == 300
    assert image.height > 224
