"""What the page says of good and of bad files."""

import numpy as np
import pytest
import torch

from timesformer.demo import look as look_module
from timesformer.demo.look import Limits, Looker
from timesformer.visualization import attention


@pytest.fixture
def looker(predictor, tmp_path):
    (tmp_path / "work").mkdir()
    return Looker(predictor, Limits(megabytes=1, seconds=5), tmp_path / "work")


def test_a_video_in_steps(looker, clips):
    shown = []
    for seen in looker(str(clips[0])):
        shown.append(seen)
        assert all(path is None or path.is_file() for path in (seen.timeline, seen.attention))
    assert [seen.words for seen in shown] == [
        "Reading the video …",
        "Looking at its parts …",
        "Drawing what it looked at …",
        "Done: 0.8 seconds of video.",
    ]
    assert sum(shown[1].classes.values()) == pytest.approx(1, abs=1e-5)
    assert shown[-1].attention.suffix == ".mp4"
    assert shown[-1].timeline is None  # it is no longer than a clip
    assert list(looker.folder.iterdir()) == []


def test_a_long_video_has_a_timeline(looker, long_video):
    steps = looker(str(long_video))
    last = [(seen.words, seen.timeline) for seen in steps][-1]
    assert last[0] == "Done: 2.4 seconds of video."
    assert last[1].suffix == ".png"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content[:700], "The video 'a.mp4' cannot be read: Invalid data"),
        (lambda content: b"", "The video 'a.mp4' cannot be read"),
        (lambda content: content + bytes(1_100_000), "The file has 1 MB; at most 1 MB and 5 sec"),
    ],
)
def test_bad_files_get_a_sentence(looker, clips, tmp_path, change, words):
    bad = tmp_path / "a.mp4"
    bad.write_bytes(change(clips[0].read_bytes()))
    [seen] = looker(str(bad))
    assert seen.words.startswith(words)
    assert str(tmp_path) not in seen.words
    assert seen.classes == {}


def test_the_attention_is_of_the_class_of_the_video(looker, clips, monkeypatch):
    """Whatever the view says that is drawn."""
    shown = []

    def save(study, *args, **kwargs):
        shown.append(study)
        return usual(study, *args, **kwargs)

    usual = attention.save
    monkeypatch.setattr(attention, "save", save)
    *_, last = looker(str(clips[0]))
    best = max(last.classes, key=last.classes.get)
    assert shown[0].heats[1].title == f"gradient-weighted, for '{best}'"
    other = next(name for name in last.classes if name != best)
    scores = np.array([name == other for name in looker.predictor.trained.class_names], np.float32)
    answer = looker.predictor.prediction(str(clips[0]), scores, 1)
    monkeypatch.setattr(type(looker.predictor), "__call__", lambda self, video: answer)
    list(looker(str(clips[0])))
    assert shown[1].heats[1].title == f"gradient-weighted, for '{other}'"


def test_a_file_that_vanished_gets_a_sentence(looker, tmp_path):
    [seen] = looker(str(tmp_path / "gone.mp4"))
    assert seen.words == "A file cannot be read or written: No such file or directory."


def test_a_machine_at_its_end_gets_a_sentence_and_a_bug_none(looker, clips, monkeypatch):
    errors = [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("a bug")]

    def fail(*args):
        raise errors.pop(0)

    monkeypatch.setattr(look_module, "show_attention", fail)
    for _ in range(2):
        *_, last = looker(str(clips[0]))
        assert last.words == "The machine has too little memory for this video."
        assert last.classes
    with pytest.raises(RuntimeError, match="a bug"):
        list(looker(str(clips[0])))


def test_too_long_a_video_gets_a_sentence(predictor, clips, tmp_path):
    looker = Looker(predictor, Limits(megabytes=1, seconds=0.5), tmp_path)
    [seen] = looker(str(clips[0]))
    assert seen.words == "The video is 0.8 seconds long; at most 1 MB and 0.5 seconds are taken."


def test_too_large_a_picture_gets_a_sentence(looker, clips, monkeypatch):
    monkeypatch.setattr("timesformer.demo.look.MAX_PIXELS", 64 * 72 - 1)
    [seen] = looker(str(clips[0]))
    assert seen.words == "The pictures are 72 x 64, which is too large for here."
