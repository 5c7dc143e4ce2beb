"""Who says what on the console and in the log file."""

import logging

import pytest
import torch

from timesformer.logs import log_to_file, peak_memory_gb, start_logging, stop_logging

log = logging.getLogger("timesformer")


@pytest.fixture(autouse=True)
def _restore_logger():
    level = log.level
    yield
    stop_logging()
    log.setLevel(level)


def test_the_main_process_speaks_on_the_console_and_in_the_file(tmp_path, capsys):
    start_logging(rank=0)
    log_to_file(str(tmp_path))
    log.info("words")
    assert "words" in capsys.readouterr().out
    assert "words" in (tmp_path / "stdout.log").read_text()


def test_other_processes_only_warn(capsys):
    start_logging(rank=3)
    log.info("silence")
    log.warning("trouble")
    out = capsys.readouterr().out
    assert "silence" not in out
    assert "rank 3: trouble" in out


def test_memory_is_in_gigabytes():
    assert 0.01 < peak_memory_gb(torch.device("cpu")) < 1000
