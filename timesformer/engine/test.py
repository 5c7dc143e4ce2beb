"""The test: several views of every video, one score for each class, exact counts."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fvcore.common.config import CfgNode
from torch import nn

from timesformer.annotations.table import VideoList
from timesformer.checkpoints import files
from timesformer.checkpoints.merge import merge
from timesformer.checkpoints.state import class_change
from timesformer.datasets.video import EvaluationViews
from timesformer.distributed.process import Process, from_main
from timesformer.engine.evaluate import Scorer, Scores, log_failures, predict
from timesformer.engine.feed import Feed
from timesformer.engine.shown import show_predictions
from timesformer.errors import UserError
from timesformer.evaluation.results import write_class_accuracy, write_failures, write_predictions
from timesformer.logs import Silent
from timesformer.models.pos_embed import SpatialMode
from timesformer.models.pretrained import load_weights
from timesformer.weights.load import Weights, read_weights
from timesformer.writers.showing import build_showing

log = logging.getLogger("timesformer")


@dataclass
class Testing:
    """All that a test holds; `build.build_testing` makes it."""

    cfg: CfgNode
    process: Process
    dataset: EvaluationViews
    feed: Feed
    scorer: Scorer
    final_form: Callable[[Scorer], Scorer]  # once the weights are loaded
    reporter: Silent


def test(run: Testing) -> None:
    """Score the test set with a checkpoint's weights; write the results and say where they lie."""
    checkpoint = from_main(choose_checkpoint(run.cfg) if run.process.is_main else None)
    assert checkpoint is not None
    weights = read_weights(checkpoint, averaged=run.cfg.TEST.USE_EMA)
    if run.cfg.TEST.USE_EMA:
        log.info("testing the averaged weights (TEST.USE_EMA)")
    check_classes(weights, run.dataset.videos.class_names)
    load_tested_weights(run.scorer.model, weights, run.cfg.TIMESFORMER.POS_EMBED_RESIZE)
    scorer = run.final_form(run.scorer)
    run.process.watch.at("the test")
    run.feed.start()
    with run.reporter.progress(len(run.feed), "test") as bar:
        scores = predict(scorer, run.feed, bar)
    if scores is not None:
        report(run, scores, checkpoint)


def choose_checkpoint(cfg: CfgNode) -> str:
    """TEST.CHECKPOINT_FILE_PATH, else the newest good checkpoint of OUTPUT_DIR, else an error."""
    if cfg.TEST.CHECKPOINT_FILE_PATH:
        return cfg.TEST.CHECKPOINT_FILE_PATH
    newest = files.newest_good(cfg.OUTPUT_DIR)
    if newest is not None and newest.is_dir():
        newest = merge(newest)
    if newest is None:
        raise UserError(
            f"there are no weights to test: {files.folder(cfg.OUTPUT_DIR)} holds no good "
            "checkpoint. Set TEST.CHECKPOINT_FILE_PATH, or train first (TRAIN.ENABLE True)."
        )
    return str(newest)


def check_classes(weights: Weights, class_names: Sequence[str]) -> None:
    """Say where the classes of the weights have other names than the data's.

    Raises:
        UserError: they are the same names in another order, so that right answers would be wrong.
    """
    change = class_change(weights.class_names, class_names)
    if change and sorted(weights.class_names) == sorted(class_names):
        raise UserError(
            f"{weights.source} numbers the classes in another order: {change}. Put the lines of "
            "classes.txt in the order of the weights."
        )
    if change:
        log.warning("%s: %s; is this the right data set?", weights.source, change)


def load_tested_weights(model: nn.Module, weights: Weights, mode: SpatialMode) -> None:
    """Load all weights; UserError where the model would not be the network that was trained."""
    source = weights.source
    report = load_weights(model, weights, pos_embed_mode=mode)
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
        "checkpoint": checkpoint,
        "command": shlex.join(sys.argv),
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
    names = [dataset.videos.name_of(label) for label in range(scores.scores.shape[1])]
    write_predictions(
        predictions,
        videos=dataset.videos.paths,
        spans=dataset.videos.spans,
        backward=dataset.videos.backward,
        labels=scores.labels,
        scores=scores.scores,
        view_predictions=scores.view_predictions,
        class_names=names,
    )
    hardest = write_class_accuracy(
        output / "class_accuracy.csv", scores.labels, scores.ranks, names
    )
    log.info("hardest classes: %s", ", ".join(hardest))
    write_failures(output / "failed_videos.csv", ((f.path, f.reason) for f in scores.failures))
    showing = build_showing(cfg, run.reporter, is_main=True)
    show_predictions(showing, "test", 0, scores, dataset, run.scorer)
    log.info("checkpoint:   %s", checkpoint)
    log.info("predictions:  %s", predictions)
    log.info("metrics:      %s", output / "metrics.jsonl")
    if cfg.TEST.REPORT:
        log.info("report:       %s", report_page(output, predictions))
    say_what_next(cfg, dataset.videos)


def report_page(output: Path, predictions: Path) -> Path | str:
    """Where ``report.html`` was written, or why it was not: no reason for a test to fail."""
    from timesformer.report.write import write_report  # for who wants one

    try:
        return write_report(output, predictions)
    except UserError as error:
        log.warning("there is no report: %s", error)
    except Exception:  # a mistake of ours, after hours of somebody's test
        log.exception("there is no report")
    return "none"


def say_what_next(cfg: CfgNode, videos: VideoList) -> None:
    """Commands that look further into what was trained, ready to be copied."""
    words = ["--checkpoint", cfg.OUTPUT_DIR]
    if file := cfg.TEST.CHECKPOINT_FILE_PATH:  # which may know of no config
        config = "config.yaml" if cfg.TRAIN.ENABLE else "config_test.yaml"
        words = ["--checkpoint", file, "--cfg", str(Path(cfg.OUTPUT_DIR, config))]
    weights = shlex.join([*words, "--averaged"] if cfg.TEST.USE_EMA else words)
    video = shlex.quote(videos.paths[0])
    log.info("look further, from the folder of the repository:")
    log.info("  python tools/predict.py %s %s", video, weights)
    log.info("  python tools/visualize.py attention %s %s", video, weights)
    log.info("  python tools/visualize.py embeddings %s", weights)
    log.info("  python tools/demo.py %s", weights)
    if cfg.TENSORBOARD.ENABLE:
        folder = Path(cfg.OUTPUT_DIR, "tensorboard")
        log.info("  tensorboard --logdir %s", shlex.quote(str(folder)))
