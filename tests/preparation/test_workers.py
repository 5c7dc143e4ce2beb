"""Processes that die or hang take nothing with them but what they were working on."""

from __future__ import annotations

import os
import signal
import time

import pytest

from timesformer.errors import UserError
from timesformer.preparation.workers import Crew, How, Lost


def square(number: int) -> int:
    return number * number


def fate(item: str) -> str:
    """Does what `item` says."""
    if item == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "exit":
        os._exit(3)
    if item == "hang":
        time.sleep(3600)
    if item == "mistake":
        raise UserError("a sentence")
    if item == "defect":
        raise KeyError("our own")
    return item


@pytest.mark.parametrize("workers", [1, 3])
def test_every_item_has_its_result(workers: int) -> None:
    results = dict(Crew(workers, 60).outcomes(square, range(20)))
    assert results == {number: number * number for number in range(20)}


def test_nothing_to_do() -> None:
    assert list(Crew(2, 60).outcomes(square, [])) == []


def test_who_dies_or_hangs_is_named() -> None:
    items = ["a", "crash", "b", "hang", "c", "exit", "d", "crash"]
    results = dict(Crew(2, 3).outcomes(fate, items))
    assert [results[index] for index in (0, 2, 4, 6)] == ["a", "b", "c", "d"]
    lost = {index: results[index] for index in (1, 3, 5, 7)}
    assert all(isinstance(reason, Lost) for reason in lost.values())
    assert lost[1] == lost[7] == "the process that read it died (Segmentation fault)"
    assert lost[3] == "it took longer than 3 seconds"
    assert lost[5] == "the process that read it died (exit status 3)"


def test_a_sentence_stays_a_sentence() -> None:
    with pytest.raises(UserError, match="^a sentence$"):
        dict(Crew(1, 60).outcomes(fate, ["a", "mistake"]))


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match=r"working on defect:\n(?s:.*)in fate\n(?s:.*)KeyError"):
        dict(Crew(1, 60).outcomes(fate, ["defect"]))


def test_no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = Crew(2, 60).outcomes(square, range(100))
    next(outcomes)
    import multiprocessing

    started = multiprocessing.active_children()
    assert len(started) == 2
    outcomes.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Crew(0, 1), "--workers is 0; it must be 1 or more"),
        (lambda: Crew(1, 0), "--timeout is 0; it must be some seconds"),
        (lambda: Crew(1, float("nan")), "--timeout is nan"),
        (lambda: How(Crew(1, 1), 1.5), "--max-failed-fraction is 1.5; it must be from 0 to 1"),
    ],
)
def test_numbers_that_make_no_sense(make: object, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make()
