"""The test: several views of every video, one score for each class, exact counts."""

from __future__ import annotations

import logging
from pathlib import Path

from fvcore.common.config import CfgNode
from torch import nn

from timesformer.checkpoints import files
from timesformer.datasets import build_dataset
from timesformer.datasets.video import EvaluationViews
from timesformer.distributed.launch import device_of
from timesformer.distributed.process import Process, from_main
from timesformer.engine import build
from timesformer.engine.evaluate import Scores, log_failures, predict
from timesformer.engine.prepare import prepare_device
from timesformer.errors import UserError
from timesformer.evaluation.results import write_failures, write_predictions
from timesformer.logs import Silent
from timesformer.models import build_model
from timesformer.models.pretrained import load_pretrained

log = logging.getLogger("timesformer")


def test(cfg: CfgNode, process: Process, reporter: Silent) -> None:
    """Score the test set with a checkpoint's weights; write the results and say where they lie."""
    runtime = prepare_device(cfg, device_of(cfg, process))
    dataset = build_dataset(cfg.TEST.DATASET, cfg, "test")
    assert isinstance(dataset, EvaluationViews)
    loader = build.test_loader(cfg, dataset, process)
    model = build_model(cfg)
    checkpoint = from_main(choose_checkpoint(cfg) if process.is_main else None)
    assert checkpoint is not None
    load_tested_weights(model, checkpoint)
    model.to(runtime.device)
    clips_per_pass = build.views_of_process(cfg.TEST.BATCH_SIZE, process)
    scorer = build.scorer(cfg, model, runtime, clips_per_pass=clips_per_pass)
    with reporter.progress(len(loader), "test") as bar:
        scores = predict(scorer, loader, bar)
    if scores is not None:
        report(cfg, dataset, scores, checkpoint, reporter)


def choose_checkpoint(cfg: CfgNode) -> Path:
    """TEST.CHECKPOINT_FILE_PATH, else the newest good checkpoint of OUTPUT_DIR, else an error."""
    if cfg.TEST.CHECKPOINT_FILE_PATH:
        return Path(cfg.TEST.CHECKPOINT_FILE_PATH)
    newest = files.newest_good(cfg.OUTPUT_DIR)
    if newest is None:
        raise UserError(
            f"there are no weights to test: {files.folder(cfg.OUTPUT_DIR)} holds no good "
            "checkpoint. Set TEST.CHECKPOINT_FILE_PATH, or train first (TRAIN.ENABLE True)."
        )
    return newest[0]


def load_tested_weights(model: nn.Module, path: Path) -> None:
    """Load all weights; UserError where some would stay random: such a test means nothing."""
    report = load_pretrained(model, path)
    log.info("%s", report)
    if report.new:
        raise UserError(
            f"{path} leaves weights of the model random, first {report.new[0]}, so a test would "
            "mean nothing. Check MODEL.NUM_CLASSES and TIMESFORMER.ATTENTION_TYPE, or finetune."
        )


def report(
    cfg: CfgNode, dataset: EvaluationViews, scores: Scores, checkpoint: Path, reporter: Silent
) -> None:
    output = Path(cfg.OUTPUT_DIR)
    predictions = Path(cfg.TEST.SAVE_RESULTS_PATH or output / "predictions.npz")
    write_predictions(
        predictions, videos=dataset.videos.paths, labels=scores.labels, scores=scores.scores
    )
    write_failures(output / "failed_videos.csv", ((f.path, f.reason) for f in scores.failures))
    log_failures(scores)
    values = {
        "split": "test_final",
        "top1_acc": scores.accuracy(1),
        "top5_acc": scores.accuracy(5),
        "num_videos": len(scores.indices),
        "num_failed": len(scores.failures),
        "num_views": dataset.num_views,
    }
    reporter.numbers("test_final", 0, values)
    log.info(
        "test: top-1 %(top1_acc).2f %%, top-5 %(top5_acc).2f %% of %(num_videos)d videos, "
        "%(num_views)d views each, %(num_failed)d unreadable",
        values,
    )
    say_where(cfg, checkpoint, predictions)


def say_where(cfg: CfgNode, checkpoint: Path, predictions: Path) -> None:
    """Where things lie, and how to look at them."""
    output = Path(cfg.OUTPUT_DIR)
    log.info("checkpoint:   %s", checkpoint)
    log.info("predictions:  %s", predictions)
    log.info("metrics:      %s", output / "metrics.jsonl")
    if cfg.TENSORBOARD.ENABLE:
        log.info("TensorBoard:  %s", output / "tensorboard")
        log.info("look at it:   tensorboard --logdir %s", output / "tensorboard")
