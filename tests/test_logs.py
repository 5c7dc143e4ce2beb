"""What is written where, by whom."""

import logging
import re

import pytest
import simplejson
import torch

from timesformer.logs import (
    build_reporter,
    log_to_file,
    peak_memory_gb,
    start_logging,
    stop_logging,
)

log = logging.getLogger("timesformer")


@pytest.fixture(autouse=True)
def _restore_logger():
    level = log.level
    yield
    stop_logging()
    log.setLevel(level)


def test_the_main_process_writes_three_formats(tmp_path, capsys):
    start_logging(rank=0)
    log_to_file(str(tmp_path))
    reporter = build_reporter(str(tmp_path), is_main=True, tensorboard=True)
    reporter.numbers("train_iter", 7, {"loss": 0.5, "epoch": "1/2", "lr": float("nan")})
    reporter.close()
    log.info("words")
    line = simplejson.loads((tmp_path / "metrics.jsonl").read_text())
    assert line == {"_type": "train_iter", "step": 7, "loss": 0.5, "epoch": "1/2", "lr": None}
    text = (tmp_path / "stdout.log").read_text()
    parsed = re.findall(r"json_stats: (\{.*\})$", text, re.MULTILINE)
    assert simplejson.loads(parsed[0]) == line
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    assert "words" in capsys.readouterr().out
    assert "words" in text


def test_the_person_is_spared_the_json(tmp_path, capsys):
    start_logging(rank=0)
    log_to_file(str(tmp_path))
    reporter = build_reporter(str(tmp_path), is_main=True, tensorboard=False)
    reporter.numbers("val_epoch", 1, {"a": 1})
    reporter.close()
    assert "json_stats" not in capsys.readouterr().out


def test_other_processes_only_warn(tmp_path, capsys):
    start_logging(rank=3)
    reporter = build_reporter(str(tmp_path / "out"), is_main=False, tensorboard=True)
    reporter.numbers("train_iter", 1, {"loss": 1.0})
    log.info("silence")
    log.warning("trouble")
    out = capsys.readouterr().out
    assert "silence" not in out
    assert "rank 3: trouble" in out
    assert not (tmp_path / "out").exists()


def test_memory_is_in_gigabytes():
    assert 0.01 < peak_memory_gb(torch.device("cpu")) < 1000
