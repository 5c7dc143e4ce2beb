"""What was kept is found again, as far as it was written."""

import json
import os
import resource
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from timesformer.annotations.subset import forward_and_backward
from timesformer.annotations.table import VideoList
from timesformer.errors import UserError
from timesformer.inference.kept import KeptRows, changed, content_of, keys_of, settings_of
from timesformer.inference.load import load_trained

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)
FOUR = ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]


def listed(paths, spans=None):
    paths = [str(path) for path in paths]
    return VideoList(paths, np.zeros(len(paths), np.int64), "here", spans=spans)


def opened(out, paths=FOUR, config="a"):
    return KeptRows(out, {"config": config}, listed(paths))


def filled(out, paths=FOUR, count=3):
    with opened(out, paths) as kept:
        for index in range(count):
            kept.add(index, ROWS[index])
    return kept.folder


def test_rows_come_back_by_video(tmp_path):
    filled(tmp_path / "out.csv")
    with opened(tmp_path / "out.csv") as kept:
        assert (kept.done, kept.waiting) == ([0, 1, 2], [3])
        kept.add(3, ROWS[3])
        assert np.array_equal(kept.values(), ROWS)
    with opened(tmp_path / "out.csv", ["3.mp4", "new.mp4", "0.mp4"]) as kept:
        assert (kept.done, kept.waiting) == ([0, 2], [1])
        assert np.array_equal(kept.values(), ROWS[[3, 0]])
        kept.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["rows.f32", "done.jsonl"])
def test_what_was_half_written_is_forgotten(tmp_path, file):
    folder = filled(tmp_path / "out.csv")
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[:-5])
    with opened(tmp_path / "out.csv") as kept:
        assert kept.done == [0, 1]
        kept.add(3, ROWS[3])
    with opened(tmp_path / "out.csv") as kept:
        assert np.array_equal(kept.values(), ROWS[[0, 1, 3]])


def test_what_was_known_of_another_content_is_forgotten(tmp_path):
    videos = [tmp_path / name for name in FOUR]
    for video in videos:
        video.write_text("content")
    filled(tmp_path / "out.csv", videos)
    videos[0].write_text("longer content")
    os.utime(videos[1], ns=(0, 0))
    with opened(tmp_path / "out.csv", videos) as kept:
        assert (kept.done, kept.waiting) == ([2], [0, 1, 3])
        kept.add(0, ROWS[3])
        assert np.array_equal(kept.values(), ROWS[[3, 2]])


def test_parts_of_a_file_are_told_apart():
    nan = float("nan")
    spans = np.array([[0, 1], [1, 2], [nan, nan], [0, 1]])
    keys = keys_of(listed(["a.mp4"] * 4, spans))
    assert len(set(keys)) == 3
    assert keys[0] == keys[3]


def test_both_directions_of_a_video_are_told_apart():
    forward = keys_of(listed(["a.mp4"]))
    assert keys_of(forward_and_backward(listed(["a.mp4"])))[:1] == forward
    assert len(set(keys_of(forward_and_backward(listed(["a.mp4", "b.mp4"]))))) == 4


def test_what_is_looked_at_of_a_video(tmp_path):
    for name in ("a.mp4", "x.tar", "img_01.jpg"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, ns=(5, 7))
    for name, size in (("a.mp4", 5), ("x.tar#a@512+9", 5), ("img_[01-02].jpg", 10)):
        assert content_of(str(tmp_path / name)) == [str(tmp_path / name), size, 7]
    assert content_of(str(tmp_path)) == [
        str(tmp_path),
        tmp_path.stat().st_size,
        tmp_path.stat().st_mtime_ns,
    ]
    assert content_of(str(tmp_path / "none.mp4")) == [str(tmp_path / "none.mp4")]
    assert content_of("s3://bucket/a.mp4") == ["s3://bucket/a.mp4"]


def test_other_settings_are_refused(tmp_path):
    filled(tmp_path / "out.csv")
    with pytest.raises(UserError, match=r"out.csv.partial .* another config \(a and not b\)"):
        opened(tmp_path / "out.csv", config="b")


def test_settings_tell_all_that_decides_the_values(run, tmp_path):
    base = load_trained(run)
    settings = settings_of(base, "cls")
    assert json.loads(json.dumps(settings)) == settings
    for override in (["TEST.SPREAD_VIEWS", True], ["TRAIN.PRECISION", "bf16"]):
        other = settings_of(load_trained(run, overrides=override), "cls")
        assert changed(settings, other) == ["config"], override
    machine = ["DATA_LOADER.NUM_WORKERS", 0, "OUTPUT_DIR", str(tmp_path), "TEST.BATCH_SIZE", 3]
    assert not changed(settings, settings_of(load_trained(run, overrides=machine), "cls"))


def test_settings_tell_weights_and_not_where_they_lie(run, tmp_path):
    source = run / "checkpoints" / "checkpoint_epoch_00001.pyth"
    settings = settings_of(load_trained(source), "cls")
    content = torch.load(source, weights_only=True)
    torch.save(content, tmp_path / "same.pyth")
    assert not changed(settings, settings_of(load_trained(tmp_path / "same.pyth"), "cls"))
    state = content["model_state"]
    content["ema_state"] = dict(state)
    torch.save(content, tmp_path / "same.pyth")
    averaged = settings_of(load_trained(tmp_path / "same.pyth", averaged=True), "cls")
    assert changed(settings, averaged) == ["average of the weights"]
    name = next(name for name in state if name.endswith("head.bias"))
    state[name] = state[name] + 1e-3
    torch.save(content, tmp_path / "other.pyth")
    other = settings_of(load_trained(tmp_path / "other.pyth"), "cls")
    assert changed(settings, other) == ["set of weights"]


@contextmanager
def files_of_at_most(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_a_sentence(tmp_path):
    folder = filled(tmp_path / "out.csv", count=1)
    words = r"out.csv.partial cannot be written .*make room; 1 of 4 videos are kept in "
    with opened(tmp_path / "out.csv") as kept, files_of_at_most(16):
        with pytest.raises(UserError, match=words):
            kept.add(1, ROWS[1])
        kept.close()  # which would write the rest
    assert (folder / "rows.f32").stat().st_size == 16
    with opened(tmp_path / "out.csv") as kept:
        assert np.array_equal(kept.values(), ROWS[:1])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("settings.json", '{"config": '),
        ("settings.json", ""),
        ("settings.json", "[]"),
        ("done.jsonl", "\0\0\n"),
    ],
)
def test_a_damaged_folder_is_a_sentence(tmp_path, file, content):
    (filled(tmp_path / "out.csv") / file).write_text(content)
    with pytest.raises(UserError, match=r"out.csv.partial, .* is damaged .* remove it, or name"):
        opened(tmp_path / "out.csv")


def test_a_stop_says_how_to_go_on(tmp_path):
    words = "stopped: 1 of 4 videos are kept in .*out.csv.partial; the same command continues"
    filled(tmp_path / "out.csv", count=1)
    with pytest.raises(KeyboardInterrupt, match=words), opened(tmp_path / "out.csv"):
        raise KeyboardInterrupt


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        opened(tmp_path / "file" / "out.csv")
