"""The test: several views of every video, one score for each class, exact counts."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from fvcore.common.config import CfgNode
from torch import nn
from torch.utils.data import DataLoader

from timesformer.checkpoints import files
from timesformer.datasets.batch import Batch
from timesformer.datasets.video import EvaluationViews
from timesformer.distributed.process import Process, from_main
from timesformer.engine.evaluate import Scorer, Scores, log_failures, predict
from timesformer.errors import UserError
from timesformer.evaluation.results import write_failures, write_predictions
from timesformer.logs import Silent
from timesformer.models.pos_embed import SpatialMode
from timesformer.models.pretrained import load_weights
from timesformer.weights.load import read_weights

log = logging.getLogger("timesformer")


@dataclass
class Testing:
    """All that a test holds; `build.build_testing` makes it."""

    cfg: CfgNode
    process: Process
    dataset: EvaluationViews
    loader: DataLoader[Batch]
    scorer: Scorer
    reporter: Silent


def test(run: Testing) -> None:
    """Score the test set with a checkpoint's weights; write the results and say where they lie."""
    checkpoint = from_main(choose_checkpoint(run.cfg) if run.process.is_main else None)
    assert checkpoint is not None
    load_tested_weights(run.scorer.model, checkpoint, run.cfg.TIMESFORMER.POS_EMBED_RESIZE)
    with run.reporter.progress(len(run.loader), "test") as bar:
        scores = predict(run.scorer, run.loader, bar)
    if scores is not None:
        report(run, scores, checkpoint)


def choose_checkpoint(cfg: CfgNode) -> str:
    """TEST.CHECKPOINT_FILE_PATH, else the newest good checkpoint of OUTPUT_DIR, else an error."""
    if cfg.TEST.CHECKPOINT_FILE_PATH:
        return cfg.TEST.CHECKPOINT_FILE_PATH
    newest = files.newest_good(cfg.OUTPUT_DIR)
    if newest is None:
        raise UserError(
            f"there are no weights to test: {files.folder(cfg.OUTPUT_DIR)} holds no good "
            "checkpoint. Set TEST.CHECKPOINT_FILE_PATH, or train first (TRAIN.ENABLE True)."
        )
    return str(newest)


def load_tested_weights(model: nn.Module, source: str, mode: SpatialMode) -> None:
    """Load all weights; UserError where the model would not be the network that was trained."""
    report = load_weights(model, read_weights(source), pos_embed_mode=mode)
    log.info("%s", report)
    if report.new:
        raise UserError(
            f"{source} leaves weights of the model random, first {report.new[0]}, so a test would "
            "mean nothing. Check MODEL.NUM_CLASSES and TIMESFORMER.ATTENTION_TYPE, or finetune."
        )
    copied = [f"{name} is copied, not trained" for name in report.inflated]
    if other := report.other + copied:
        raise UserError(
            f"{source} is of another network ({other[0]}), so a test would mean nothing. Set "
            "TIMESFORMER.ATTENTION_TYPE, POS_EMBED and HEAD_HIDDEN_DIM as in training, or finetune."
        )


def report(run: Testing, scores: Scores, checkpoint: str) -> None:
    """Log the accuracies, then write predictions and failures."""
    cfg, dataset = run.cfg, run.dataset
    output = Path(cfg.OUTPUT_DIR)
    predictions = Path(cfg.TEST.SAVE_RESULTS_PATH or output / "predictions.npz")
    log_failures(scores)
    values = {
        "split": "test_final",
        "top1_acc": scores.accuracy(1),
        "top5_acc": scores.accuracy(5),
        "num_videos": len(scores.indices),
        "num_failed": len(scores.failures),
        "num_views": dataset.num_views,
    }
    run.reporter.numbers("test_final", 0, values)
    log.info(
        "test: top-1 %(top1_acc).2f %%, top-5 %(top5_acc).2f %% of %(num_videos)d videos, "
        "%(num_views)d views each, %(num_failed)d unreadable",
        values,
    )
    write_predictions(
        predictions, videos=dataset.videos.paths, labels=scores.labels, scores=scores.scores
    )
    write_failures(output / "failed_videos.csv", ((f.path, f.reason) for f in scores.failures))
    say_where(cfg, checkpoint, predictions)


def say_where(cfg: CfgNode, checkpoint: str, predictions: Path) -> None:
    """Where things lie, and how to look at them."""
    output = Path(cfg.OUTPUT_DIR)
    log.info("checkpoint:   %s", checkpoint)
    log.info("predictions:  %s", predictions)
    log.info("metrics:      %s", output / "metrics.jsonl")
    if cfg.TENSORBOARD.ENABLE:
        log.info("TensorBoard:  %s", output / "tensorboard")
        log.info("look at it:   tensorboard --logdir %s", output / "tensorboard")
