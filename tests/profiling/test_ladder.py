"""The table of ``tools/model_info.py --memory``."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.engine.runs import REPO, TINY_CONFIG, run_process
from tests.models.tiny import WITHOUT_TIMESFORMER, tiny_cfg
from timesformer.config import load_config
from timesformer.profiling.ladder import GPU_GIGABYTES, RUNGS, memory_report, memory_text, room
from timesformer.profiling.memory import OUTSIDE, predict

SMALL = ["TIMESFORMER.DEPTH", "2", "TRAIN.BATCH_SIZE", "4", "GLOBAL_BATCH_SIZE", "4"]
MODEL_INFO = [sys.executable, str(REPO / "tools" / "model_info.py"), "--memory"]


def report_of(*options: str) -> dict[str, Any]:
    return memory_report(load_config(TINY_CONFIG, [*SMALL, *options]))


def test_the_rung_of_the_config_is_what_stands_above() -> None:
    report = report_of("TIMESFORMER.GRAD_CHECKPOINTING", "True", "TRAIN.BATCH_SIZE", "1",
                       "GLOBAL_BATCH_SIZE", "1")  # fmt: skip
    (own,) = [r for r in report["ladder"] if (r["kept"], r["precision"]) == ("nothing", "fp32")]
    assert (report["clips"], report["processes"]) == (1, 1)
    assert report["peak_bytes"] == own["peak_bytes"] == sum(report["parts"].values())


def test_more_is_kept_from_rung_to_rung_and_fewer_clips_fit() -> None:
    report = report_of()
    rows = [row for row in report["ladder"] if row["precision"] == "fp32"]
    assert [row["kept"] for row in rows] == list(RUNGS)
    needs = [row["bytes_of_a_further_clip"] for row in rows]
    assert needs[0] == max(needs)
    assert needs[-1] == min(needs)
    assert needs[2:] == sorted(needs[2:], reverse=True)
    fitting = [row["most_clips"]["16"] for row in rows]
    assert fitting[0] == min(fitting)
    assert fitting[-1] == max(fitting)


def test_what_is_said_to_fit_does() -> None:
    cfg = load_config(TINY_CONFIG, SMALL)
    most = memory_report(cfg)["ladder"][0]["most_clips"]
    for size in GPU_GIGABYTES:
        assert predict(cfg).peak(most[str(size)]) + OUTSIDE <= 0.95e9 * size
        assert predict(cfg).peak(most[str(size)] + 1) > room(size)


def test_a_model_without_blocks_has_two_rungs() -> None:
    cfg = tiny_cfg(MODEL__MODEL_NAME="resnet18_average", **WITHOUT_TIMESFORMER)
    ladder = memory_report(cfg)["ladder"]
    assert [row["kept"] for row in ladder] == ["all", "all", "nothing", "nothing"]


@pytest.mark.slow
def test_the_door_prints_the_table_and_the_same_as_json() -> None:
    expected = report_of()
    options = ["--cfg", str(TINY_CONFIG), *SMALL]
    text, values = (run_process([*MODEL_INFO, *more, *options]) for more in ([], ["--json"]))
    assert (text.returncode, text.stderr) == (0, "")
    assert text.stdout == memory_text(expected) + "\n"
    assert json.loads(values.stdout) == expected
    answer = run_process([*MODEL_INFO, "--all"])
    assert answer.returncode == 1
    assert "no KEY VALUE and no --memory" in answer.stderr
