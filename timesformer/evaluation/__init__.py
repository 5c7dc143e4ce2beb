"""Evaluation: the ensemble of views and the metrics."""

from timesformer.evaluation.ensemble import combine_views
from timesformer.evaluation.metrics import TrainMeter, label_rank, summarize, topk_accuracy

__all__ = ["TrainMeter", "combine_views", "label_rank", "summarize", "topk_accuracy"]
