"""What is said of a run, from what its processes said."""

import pytest

from timesformer.distributed.judge import Judge, Word, duration, ranks

LIMIT = 60.0


def judge_after(*rounds):
    """A judge that has heard rounds of {rank: (beats, place)}, ten seconds apart from 0 on."""
    judge = Judge(3)
    for count, words in enumerate(rounds):
        judge.hear(
            {r: Word(count + 1, beats, place) for r, (beats, place) in words.items()}, 10.0 * count
        )
    return judge


def test_words_survive_the_way():
    word = Word(3, 7, "epoch 2, 'x', ü", has_left=True, verdict="no")
    assert Word.unpack(word.pack().encode()) == word


def test_who_gets_further_is_let_be():
    rounds = [{0: (0, "a"), 1: (n, "b"), 2: (0, "a")} for n in range(9)]
    assert judge_after(*rounds).verdict(90, LIMIT) == ""


def test_who_waits_for_others_that_work_does_not_hang():
    """Rank 1 evaluates, the others have been waiting at the gather for longer than the limit."""
    rounds = [{0: (5, "gather"), 1: (n, "video"), 2: (5, "gather")} for n in range(20)]
    assert judge_after(*rounds).verdict(200, LIMIT) == ""


def test_a_hung_run_is_told_by_places_the_fewest_first():
    place = {0: (4, "step 7"), 1: (3, "step 6"), 2: (4, "step 7")}
    judge = judge_after(*[place] * 8)
    assert judge.verdict(59, LIMIT) == ""
    assert judge.verdict(61, LIMIT) == (
        "the run hangs: rank 1 at 'step 6' for 61 s; ranks 0, 2 at 'step 7' for 61 s."
    )


def test_of_many_places_some_are_told():
    judge = Judge(100)
    for count in (1, 2):
        words = {rank: Word(count, 1, f"video {rank}") for rank in range(100)}
        judge.hear(words, 0.0 if count == 1 else 50.0)
    said = judge.verdict(61, LIMIT)
    assert "rank 7 at 'video 7' for 61 s; others at 92 places." in said


def test_who_says_nothing_is_lost():
    first = {0: (1, "a"), 1: (1, "a"), 2: (1, "a")}
    rounds = [first, *[{0: (n, "b"), 2: (n, "b")} for n in range(2, 10)]]
    judge = judge_after(*rounds)
    assert judge.silent(81, LIMIT) == [1]
    assert judge.verdict(81, LIMIT) == (
        "the run has lost rank 1: rank 1 not heard of for 81 s, last at 'a' (stopped, dead or cut "
        "off); ranks 0, 2 at 'b' for 1 s."
    )


def test_who_has_left_is_not_silent():
    judge = judge_after({0: (1, "a"), 1: (1, "a"), 2: (1, "a")})
    judge.hear({1: Word(2, 1, "UserError: no", has_left=True)}, 1.0)
    assert (judge.silent(100, LIMIT), judge.left()) == ([0, 2], [1])


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([3], "rank 3"),
        ([0, 1], "ranks 0-1"),
        ([5, 0, 2, 3, 4], "ranks 0, 2-5"),
        ([1, 9], "ranks 1, 9"),
    ],
)
def test_ranks_in_words(numbers, words):
    assert ranks(numbers) == words


@pytest.mark.parametrize(("seconds", "words"), [(3.2, "3 s"), (119, "119 s"), (1800, "30 min")])
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words
