"""Progress in a log is lines, and none of a work that is done at once."""

from __future__ import annotations

import time

import pytest

from timesformer import progress


def test_lines_for_what_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES_OF_A_LOG", 0.02)
    with progress.progress(4, "check") as bar:
        for _ in range(4):
            time.sleep(0.03)
            bar.update()
    said = capsys.readouterr().err
    assert "\r" not in said
    assert said.endswith("\n")
    assert any(line.startswith("check:  50%") and "2/4" in line for line in said.splitlines())


def test_nothing_of_what_is_done_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress(4, "check") as bar:
        bar.update(4)
    assert capsys.readouterr().err == ""


def test_items_count_as_done_once_they_are_done_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES_OF_A_LOG", 0.02)
    items = []
    for item in progress.counted("abcd", "models", "model"):
        items.append(item)
        time.sleep(0.03)
    assert items == list("abcd")
    said = capsys.readouterr().err.splitlines()
    assert any(line.startswith("models:  50%") and "2/4" in line for line in said)


def test_a_stage_is_named_while_it_lasts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES_OF_A_LOG", 0.02)
    with progress.stages(3) as begin:
        for name in ("reading", "translating", "comparing"):
            begin(name)
            time.sleep(0.05)
    said = capsys.readouterr().err.splitlines()
    assert any(line.startswith("comparing:  67%") and "2/3" in line for line in said)


def test_a_line_stands_alone_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress(3, "runs", "run") as bar:
        progress.say("1/3 first")
        bar.update()
    assert capsys.readouterr().err == "1/3 first\n"
