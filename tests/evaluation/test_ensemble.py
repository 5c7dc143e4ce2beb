"""What the scores of an ensemble say as probabilities."""

import pytest
import torch

from timesformer.evaluation.ensemble import ENSEMBLES, combine_views, probabilities


@pytest.mark.parametrize("method", ENSEMBLES)
def test_one_view_gives_its_softmax_by_every_method(method):
    logits = torch.randn(7, 1, 5)
    found = probabilities(combine_views(logits, method), method, 1)
    torch.testing.assert_close(found, logits[:, 0].softmax(dim=1))


def test_sums_of_logits_are_the_geometric_mean_of_the_views():
    logits = torch.randn(7, 6, 5, dtype=torch.float64)
    geometric = logits.log_softmax(dim=2).mean(dim=1).exp()
    found = probabilities(combine_views(logits, "sum"), "sum", 6)
    torch.testing.assert_close(found, geometric / geometric.sum(dim=1, keepdim=True))


def test_sums_of_probabilities_are_their_mean():
    logits = torch.randn(7, 6, 5)
    found = probabilities(combine_views(logits, "softmax"), "softmax", 6)
    torch.testing.assert_close(found, logits.softmax(dim=2).mean(dim=1))


def test_the_largest_logits_are_logits():
    logits = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    found = probabilities(combine_views(logits, "max"), "max", 2)
    torch.testing.assert_close(found, torch.tensor([[1.0, 3.0]]).softmax(dim=1))


@pytest.mark.parametrize("method", ENSEMBLES)
def test_an_unreadable_video_has_none(method):
    assert probabilities(torch.full((1, 3), float("nan")), method, 4).isnan().all()
