"""The hours of a GPU: what docs/SCALING.md says, and what makes them more and fewer."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.engine.runs import REPO, TINY_CONFIG
from timesformer.config import load_config
from timesformer.profiling.report import config_report, config_text
from timesformer.profiling.training_cost import GpuHours, gpu_hours, spelt

KINETICS = REPO / "configs" / "Kinetics" / "TimeSformer_divST_8x32_224.yaml"


def of_kinetics(**changes: Any) -> GpuHours:
    opts = [
        item for name, value in changes.items() for item in (name.replace("__", "."), str(value))
    ]
    found = gpu_hours(load_config(KINETICS, opts))
    assert found is not None
    return found


def test_clips_a_second_are_those_of_the_scaling_document() -> None:
    """Which calculates them by itself, from the same assumptions."""
    text = (REPO / "docs" / "SCALING.md").read_text()
    said = re.search(r"\| base, ddp \| ([\d.]+) assumed", text)
    assert said
    clips = 15 * 240_000
    assert clips / of_kinetics().training / 3600 == pytest.approx(float(said[1]), rel=1e-3)


def test_a_view_is_a_third_of_a_training_clip() -> None:
    hours = of_kinetics()
    clips, views = 15 * 240_000, 3 * 20_000
    assert hours.testing / views == pytest.approx(hours.training / clips / 3)


@pytest.mark.parametrize(
    ("changes", "training", "testing"),
    [
        ({"DATA__TRAIN_FRACTION": 0.25}, 1 / 4, 1),
        ({"SOLVER__MAX_EPOCH": 30}, 2, 1),
        ({"AUG__NUM_SAMPLE": 2}, 2, 1),
        ({"TIMESFORMER__GRAD_CHECKPOINTING": True}, 4 / 3, 1),
        ({"TEST__NUM_ENSEMBLE_VIEWS": 5}, 1, 5),
        ({"TRAIN__ENABLE": False}, 0, 1),
        ({"TEST__ENABLE": False}, 1, 0),
        ({"MODEL__NUM_CLASSES": 600}, 392 / 240, 3 / 2),  # Kinetics-600: the head is nothing
    ],
)
def test_what_makes_it_more_or_less(
    changes: dict[str, Any], training: float, testing: float
) -> None:
    usual, changed = of_kinetics(), of_kinetics(**changes)
    assert changed.training == pytest.approx(training * usual.training, rel=1e-5)
    assert changed.testing == pytest.approx(testing * usual.testing, rel=1e-5)


def test_a_larger_crop_costs_where_it_is_cut() -> None:
    usual = of_kinetics()
    changed = of_kinetics(DATA__TRAIN_CROP_SIZE=112)
    assert changed.training < usual.training / 3.9
    assert changed.testing == usual.testing


def test_nothing_is_said_where_too_little_is_known() -> None:
    assert gpu_hours(load_config(TINY_CONFIG)) is None  # a data set of any size
    convolutions = REPO / "configs" / "UCF101" / "ResNet18_average.yaml"
    assert gpu_hours(load_config(convolutions, ["MODEL.NUM_CLASSES", "101"])) is None
    assert gpu_hours(load_config(KINETICS, ["TEST.DATASET", "ucf101"])) is None


def test_model_info_prints_it() -> None:
    cfg = load_config(KINETICS, ["TIMESFORMER.DEPTH", "1"])
    report = config_report(cfg)
    hours = gpu_hours(cfg)
    assert hours is not None
    assert report["gpu_hours"] == {"training": hours.training, "testing": hours.testing}
    assert str(hours) in config_text(report)
    assert str(GpuHours(0, 0.0166)).endswith("(calculated, not measured): 0.017 to test")


@pytest.mark.parametrize(("value", "words"), [(126.0, "130"), (2.97, "3"), (0.01649, "0.016")])
def test_two_digits_count(value: float, words: str) -> None:
    assert spelt(value) == words
