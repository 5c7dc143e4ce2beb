"""What is written where, by whom, and what becomes of a place that fails."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import simplejson

from tests.engine.runs import TINY_CONFIG, options
from timesformer.config import load_config
from timesformer.logs import log_to_file, start_logging, stop_logging
from timesformer.writers.build import build_reporter
from timesformer.writers.json_lines import JsonLines
from timesformer.writers.reporter import Reporter

log = logging.getLogger("timesformer")


@pytest.fixture(autouse=True)
def _restore_logger() -> Iterator[None]:
    level = log.level
    yield
    stop_logging()
    log.setLevel(level)


def reporter_of(output: Path, *, is_main: bool = True, **changes: object):
    cfg = load_config(TINY_CONFIG, options(output, output, **changes))
    return build_reporter(cfg, {"OUTPUT_DIR": str(output)}, is_main=is_main)


def test_the_main_process_writes_three_formats(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_logging(rank=0)
    log_to_file(str(tmp_path))
    reporter = reporter_of(tmp_path, TENSORBOARD__ENABLE=True)
    reporter.numbers("train_iter", 7, {"loss": 0.5, "epoch": "1/2", "lr": float("nan")})
    reporter.close()
    line = simplejson.loads((tmp_path / "metrics.jsonl").read_text())
    assert line == {"_type": "train_iter", "step": 7, "loss": 0.5, "epoch": "1/2", "lr": None}
    text = (tmp_path / "stdout.log").read_text()
    parsed = re.findall(r"json_stats: (\{.*\})$", text, re.MULTILINE)
    assert simplejson.loads(parsed[0]) == line
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    assert "json_stats" not in capsys.readouterr().out, "a person gets a line of words instead"


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    reporter = reporter_of(tmp_path / "out", is_main=False, TENSORBOARD__ENABLE=True)
    reporter.numbers("train_iter", 1, {"loss": 1.0})
    reporter.results({"SOLVER.BASE_LR": 1e-3})
    assert not (tmp_path / "out").exists()


def test_half_a_line_of_a_run_that_was_killed_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"_type": "train_it')
    writer = JsonLines(path)
    writer.scalars("train_iter", 1, {"loss": 1.0})
    writer.close()
    assert simplejson.loads(path.read_text().splitlines()[1])["step"] == 1


def test_a_place_that_fails_is_named_once_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """/dev/full is a disk without room."""
    start_logging(rank=0)
    good = JsonLines(tmp_path / "metrics.jsonl")
    full = JsonLines.__new__(JsonLines)
    full._file = Path("/dev/full").open("a")  # noqa: SIM115 - the writer closes it
    reporter = Reporter([full, good])
    for step in (1, 2):
        reporter.numbers("train_iter", step, {"loss": 1.0})
    reporter.close()
    said = capsys.readouterr().out
    assert said.count("cannot be filed (metrics.jsonl: ") == 1
    assert "No space left on device" in said
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
