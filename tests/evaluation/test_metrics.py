"""Counts, ensembles and the result files."""

import csv

import numpy as np
import pytest
import torch

from timesformer.evaluation import TrainMeter, combine_views, label_rank, summarize, topk_accuracy
from timesformer.evaluation.results import write_class_accuracy, write_failures, write_predictions

NAN = float("nan")


def test_rank_counts_the_classes_in_front():
    scores = torch.tensor([[3.0, 2.0, 1.0]] * 3)
    assert label_rank(scores, torch.tensor([0, 1, 2])).tolist() == [0, 1, 2]


def test_of_equal_scores_the_lower_class_stands_first_as_for_argmax():
    scores = torch.tensor([[1.0, 2.0, 2.0, 2.0]] * 4)
    assert label_rank(scores, torch.arange(4)).tolist() == [3, 0, 1, 2]
    coarse = torch.randn(500, 30).bfloat16().mul(2).round()
    labels = torch.randint(30, (500,))
    right = (coarse.argmax(1) == labels).float().mean()
    assert topk_accuracy(coarse, labels, 1) == pytest.approx(100 * float(right), abs=1e-4)


@pytest.mark.parametrize("k", [1, 5])
def test_nan_is_wrong_even_where_there_are_fewer_classes_than_k(k):
    scores = torch.tensor([[NAN, NAN, NAN], [0.0, NAN, -1.0]])
    assert topk_accuracy(scores[:1], torch.tensor([0]), k) == 0.0
    assert label_rank(scores[1:], torch.tensor([0])).tolist() == [1]


@pytest.mark.parametrize("k", [1, 5])
def test_topk_agrees_with_torch(k):
    scores, labels = torch.randn(200, 10), torch.randint(10, (200,))
    hits = (scores.topk(k).indices == labels[:, None]).any(1).float().mean()
    assert topk_accuracy(scores, labels, k) == pytest.approx(100 * float(hits))


def test_five_of_five_classes_are_always_right():
    assert topk_accuracy(torch.randn(7, 4), torch.randint(4, (7,)), 5) == 100.0


def test_ensembles_by_hand():
    views = torch.tensor([[[-1.0, -2.0], [-3.0, -1.0]]])
    assert combine_views(views, "sum").tolist() == [[-4.0, -3.0]]
    assert combine_views(views, "max").tolist() == [[-1.0, -1.0]]  # not zero, as B5 had it
    by_hand = views[0, 0].softmax(0) + views[0, 1].softmax(0)
    assert torch.allclose(combine_views(views, "softmax")[0], by_hand)


def test_meter_ignores_padding_and_weighs_clips_alike():
    """Two batches of 3 and 1 clips, one of the 3 is padding: means over 3 clips, not batches."""
    meter = TrainMeter(torch.device("cpu"))
    right, wrong = [9.0, 0, 0, 0, 0, 0], [0.0, 9, 9, 9, 9, 9]
    labels = torch.zeros(3, dtype=torch.int64)
    weights = torch.tensor([1.0, 1.0, 0.0])
    meter.update(
        torch.tensor([1.0, 2.0, 50.0]), torch.tensor([right, right, wrong]), labels, weights
    )
    meter.update(torch.tensor([6.0]), torch.tensor([wrong]), labels[:1], weights[:1])
    values = summarize(meter.reset())
    assert values == pytest.approx({"loss": 3.0, "top1_err": 100 / 3, "top5_err": 100 / 3})
    assert meter.reset().tolist() == [0, 0, 0, 0]


def test_predictions_file_is_as_documented(tmp_path):
    path = tmp_path / "sub" / "predictions.npz"
    scores = torch.tensor([[0.1, 0.9], [NAN, NAN]])
    write_predictions(
        path,
        videos=["a b.mp4", "ü.mp4"],
        spans=np.array([[0.5, np.nan], [1.0, 2.0]]),
        labels=torch.tensor([1, 0]),
        scores=scores,
        view_predictions=torch.tensor([[1, 0, 1], [-1, -1, -1]]),
        class_names=["no", "ja ü"],
    )
    found = np.load(path, allow_pickle=False)
    assert found["videos"].tolist() == ["a b.mp4", "ü.mp4"]
    assert found["labels"].tolist() == [1, 0]
    assert found["spans"].shape == (2, 2)
    assert found["predictions"].tolist() == [1, -1]
    assert found["view_predictions"].tolist() == [[1, 0, 1], [-1, -1, -1]]
    assert found["class_names"].tolist() == ["no", "ja ü"]
    assert found["scores"].dtype == np.float32
    assert [p.name for p in path.parent.iterdir()] == ["predictions.npz"]


def test_class_accuracy_names_the_hardest_classes(tmp_path):
    labels, ranks = torch.tensor([0, 0, 2, 2, 3]), torch.tensor([0, 7, 3, 4, 0])
    hardest = write_class_accuracy(tmp_path / "a.csv", labels, ranks, ["run", "-", "a, b", "sit"])
    assert hardest == ["a, b 0.0 % of 2", "run 50.0 % of 2", "sit 100.0 % of 1"]
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [
            ["0", "run", "2", "50.00", "50.00"],
            ["2", "a, b", "2", "0.00", "100.00"],
            ["3", "sit", "1", "100.00", "100.00"],
        ]


def test_failures_file(tmp_path):
    failures = [("a,b.mp4", "it is 'empty'"), ("\udcff.mp4", "its name is no UTF-8")]
    write_failures(tmp_path / "failed.csv", failures)
    with (tmp_path / "failed.csv").open(
        newline="", encoding="utf-8", errors="surrogateescape"
    ) as file:
        assert list(map(tuple, csv.reader(file))) == [("path", "reason"), *failures]
