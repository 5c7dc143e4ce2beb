"""What is told twice in metrics.jsonl counts once, as it was told last."""

import json

from tests.report.made import write_history
from timesformer.report.history import History, read_history


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def step(epoch, loss, done=None):
    kind = {"_type": "train_epoch"} if done is None else {"_type": "train_iter", "iter": done}
    return {**kind, "epoch": f"{epoch}/9", "loss": loss}


def read(tmp_path, text):
    path = tmp_path / "metrics.jsonl"
    path.write_text(text, encoding="utf-8")
    return read_history(path)


def test_places_are_epochs(tmp_path):
    write_history(tmp_path, num_epochs=2)
    history = read_history(tmp_path / "metrics.jsonl")
    assert history.curve("train_iter", "lr") == ([0.5, 1.0, 1.5, 2.0], [0.1, 0.1, 0.05, 0.05])
    assert history.curve("val_epoch", "top1_err") == ([1.0, 2.0], [80.0, 40.0])


def test_repeated_steps_count_once(tmp_path):
    first = [step(1, 5.0, "1/2"), step(1, 4.0, "2/2"), step(1, 4.5), step(2, 3.0, "1/2")]
    again = [step(1, 4.1, "2/2"), step(1, 4.6)]
    history = read(tmp_path, lines(*first, *again))
    assert history.curve("train_iter", "loss") == ([0.5, 1.0], [5.0, 4.1])
    assert history.curve("train_epoch", "loss") == ([1.0], [4.6])


def test_a_new_training_takes_back_all_of_the_old(tmp_path):
    old = [step(epoch, 5.0) for epoch in (1, 2, 3)]
    history = read(tmp_path, lines(*old, step(1, 6.0, "1/7"), step(1, 5.9)))
    assert [note.epoch for note in history.notes] == [1 / 7, 1.0]


def test_half_a_line_and_foreign_lines_are_passed_over(tmp_path):
    foreign = [{"_type": "speed", "x": 1}, {"_type": "train_iter"}, [1, 2], step("x", 1.0)]
    half = '{"_type": "train_epoch", "epo\n'
    odd = [step(1, 2.0, "1/0"), {**step(1, None)}]
    history = read(tmp_path, lines(*foreign) + half + lines(*odd, step(2, 1.5)))
    assert history.curve("train_epoch", "loss") == ([2.0], [1.5])


def test_the_last_test_counts(tmp_path):
    tests = [{"_type": "test_final", "num_views": n} for n in (3, 6)]
    assert read(tmp_path, lines(*tests)).test["num_views"] == 6


def test_no_file_is_no_history(tmp_path):
    assert read_history(tmp_path / "metrics.jsonl") == History()
