"""TensorBoard's files, read back by TensorBoard."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from timesformer.logs import Silent
from timesformer.writers.interface import Histogram
from timesformer.writers.reporter import Reporter
from timesformer.writers.tensorboard import TensorBoard

COUNTS = np.array([[3, 1], [0, 2]])


def reporter_of(folder: Path) -> Silent:
    return Reporter([TensorBoard(folder)])


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tensorboard")
    reporter = reporter_of(folder)
    reporter.text("config", "```yaml\nSOLVER:\n  BASE_LR: 0.1\n```")
    reporter.numbers("train_iter", 10, {"loss": 0.5, "lr": 0.1, "epoch": "1/2"})
    reporter.numbers("test_final", 0, {"top1_acc": 75.0, "split": "test_final"})
    counts, edges = np.array([1.0, 5.0, 2.0]), np.array([-1.0, 0.0, 1.0, 2.0])
    reporter.histogram("weights/head", 1, Histogram(counts, edges))
    frames = np.zeros((4, 32, 48, 3), np.uint8)
    frames[:, :, :, 0] = 80 * np.arange(4)[:, None, None]
    reporter.clip("val_clips/00", 1, frames, 8.0, "up, predicted left (63%)")
    reporter.confusion_matrix("val_confusion", 1, COUNTS, ["up", "down"])
    reporter.results({"SOLVER.BASE_LR": 0.1, "SOLVER.STEPS": [1, 2], "TRAIN.ENABLE": True})
    reporter.close()
    return folder


def test_numbers(folder: Path) -> None:
    events = read(folder)
    assert [(e.step, e.value) for e in events.Scalars("train_iter/loss")] == [(10, 0.5)]
    assert events.Scalars("test_final/top1_acc")[0].value == 75
    assert "train_iter/epoch" not in events.Tags()["scalars"], "words are for the other files"


def test_histograms(folder: Path) -> None:
    (event,) = read(folder).Histograms("weights/head")
    assert event.histogram_value.num == 8
    assert (event.histogram_value.min, event.histogram_value.max) == (-1, 2)
    pairs = zip(event.histogram_value.bucket_limit, event.histogram_value.bucket, strict=True)
    assert [pair for pair in pairs if pair[1]] == [(0, 1), (1, 5), (2, 2)]


def test_a_clip_moves_and_has_its_words_below(folder: Path) -> None:
    (event,) = read(folder).Images("val_clips/00")
    image = Image.open(BytesIO(event.encoded_image_string))
    assert image.format == "GIF"
    assert image.size == (event.width, event.height)
    assert image.n_frames == 4
    assert image.info["duration"] == 120  # GIF counts in hundredths of a second
    reds = []
    for frame in range(4):
        image.seek(frame)
        reds.append(np.asarray(image.convert("RGB"))[10, 10, 0])
    assert np.abs(np.array(reds, int) - 80 * np.arange(4)).max() < 8  # a GIF has 256 colours
    clip_height = 32 * -(-192 // 32)
    below = np.asarray(image.convert("L"))[clip_height:]
    assert below.max() > 250
    assert below.min() < 100


def test_a_confusion_matrix_is_a_picture(folder: Path) -> None:
    (event,) = read(folder).Images("val_confusion")
    assert Image.open(BytesIO(event.encoded_image_string)).size == (event.width, event.height)


def test_the_config_as_text_and_beside_the_results(folder: Path) -> None:
    events = read(folder)
    (text,) = events.Tensors("config/text_summary")
    assert b"BASE_LR: 0.1" in text.tensor_proto.string_val[0]
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    started = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert started["SOLVER.BASE_LR"].number_value == 0.1
    assert started["SOLVER.STEPS"].string_value == "[1, 2]"
    assert started["TRAIN.ENABLE"].number_value == 1
    content = events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    experiment = plugin_data_pb2.HParamsPluginData.FromString(content).experiment
    shown = {metric.name.tag for metric in experiment.metric_infos}
    assert shown == {"test_final/top1_acc"} <= set(events.Tags()["scalars"])


def test_a_run_that_goes_on_leaves_no_step_twice(tmp_path: Path) -> None:
    """After a kill it goes on from its checkpoint, and takes some steps again."""
    for first, last in ((1, 30), (21, 50)):  # the checkpoint was of step 20
        reporter = reporter_of(tmp_path)
        reporter.resume(first - 1)
        reporter.numbers("val_epoch", first // 20 + 1, {"top1_err": float(first)})
        for step in range(first, last + 1):
            reporter.numbers("train_iter", step, {"loss": float(first)})
        reporter.close()
    events = read(tmp_path)
    losses = [(e.step, e.value) for e in events.Scalars("train_iter/loss")]
    assert losses == [(step, 1.0 if step <= 20 else 21.0) for step in range(1, 51)]
    assert [e.step for e in events.Scalars("val_epoch/top1_err")] == [1, 2]
