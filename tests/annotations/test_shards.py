"""The index of shards: what it must hold, and a sentence for each way in which it may not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from timesformer.annotations.places import tar_member
from timesformer.annotations.shards import read_shards
from timesformer.datasets.sampler import TrainSampler
from timesformer.errors import UserError

INDEX = {
    "version": 1,
    "split": "train",
    "fingerprint": "",
    "classes": ["one", "two"],
    "shards": ["train-000000.tar", "train-000001.tar"],
    "shard_bytes": [4096, 2048],
    "names": ["0_a.mp4", "1_b.mp4", "2_c.mp4"],
    "places": [1, 0, 0],
    "offsets": [512, 512, 2048],
    "sizes": [100, 200, 300],
    "labels": [0, 1, 0],
}
COLUMNS = ("names", "places", "offsets", "sizes", "labels")


def write(folder: Path, **changes) -> str:
    for name, size in zip(INDEX["shards"], INDEX["shard_bytes"], strict=True):
        with (folder / name).open("wb") as file:
            file.truncate(size)
    index = {name: value for name, value in (INDEX | changes).items() if value is not ...}
    (folder / "train.index.json").write_text(json.dumps(index))
    return str(folder)


def test_what_an_index_says(tmp_path):
    folder = write(tmp_path, starts=[None, 1.5, None], ends=[None, 2.5, 7])
    videos = read_shards(folder, "train", num_classes=2)
    assert videos.paths[1] == f"{folder}/train-000000.tar#1_b.mp4@512+200"
    assert str(tar_member(videos.paths[0])) == f"{folder}/train-000001.tar#0_a.mp4@512+100"
    assert videos.labels.tolist() == [0, 1, 0]
    assert videos.class_names == ("one", "two")
    assert videos.source == f"{folder}/train.index.json"
    np.testing.assert_array_equal(videos.spans, [[np.nan] * 2, [1.5, 2.5], [np.nan, 7]])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 2}, "its version is 2, not 1"),
        ({"version": ...}, "'version'"),
        ({"sizes": ...}, "'sizes'"),
        ({"sizes": [1, 2]}, "its columns differ in length"),
        ({"starts": [None]}, "its columns differ in length"),
        ({"shard_bytes": [1]}, "its columns differ in length"),
        ({"places": [0, 0, 2]}, "it names a shard that it does not list"),
        ({"shards": ["a.tar", "b.zip"]}, "it names a shard that is no .tar"),
        ({"places": [0, 0, "1"]}, "not supported between"),
        ({"labels": [0, "1", 0]}, "not supported between"),
        ({"labels": [0, -1, 0]}, "it has a label below 0"),
        ({name: [] for name in COLUMNS}, "lists no videos"),
    ],
)
def test_what_is_no_index(tmp_path, changes, sentence):
    folder = write(tmp_path, **changes)
    with pytest.raises(UserError, match=f"is not an index of shards .*{sentence}.*make_shards.py"):
        read_shards(folder, "train")


@pytest.mark.parametrize("text", ["", "[]", "{", "[1, 2]", "null"])
def test_what_is_no_json(tmp_path, text):
    folder = write(tmp_path)
    (tmp_path / "train.index.json").write_text(text)
    with pytest.raises(UserError, match="is not an index of shards that this version reads"):
        read_shards(folder, "train")


def test_no_index(tmp_path):
    with pytest.raises(UserError, match="has no index of shards .*val.index.json .No such file"):
        read_shards(write(tmp_path), "val")
    with pytest.raises(UserError, match="DATA.PATH_TO_DATA_DIR 'memory://none' has no index"):
        read_shards("memory://none", "train")


def test_labels_above_the_number_of_classes(tmp_path):
    with pytest.raises(UserError, match=r"of 2 classes up to 1, but .* is 1. Set MODEL.NUM_CLASSE"):
        read_shards(write(tmp_path), "train", num_classes=1)


def test_a_shard_that_was_cut_short_or_lost_is_named(tmp_path):
    folder = write(tmp_path)
    os.truncate(tmp_path / "train-000001.tar", 1000)
    with pytest.raises(UserError, match="train-000001.tar is 1000 bytes long, but its index says"):
        read_shards(folder, "train")
    (tmp_path / "train-000001.tar").unlink()
    with pytest.raises(UserError, match="train-000001.tar cannot be read: No such file"):
        read_shards(folder, "train")


def test_an_epoch_goes_through_all_shards_at_once(tmp_path):
    """What streaming readers only come near to: neighbours in time are none in a tar."""
    count = 5000
    columns = {
        "names": [f"{i}.mp4" for i in range(count)],
        "places": [i * 2 // count for i in range(count)],
        "offsets": [512 * i for i in range(count)],
        "sizes": [100] * count,
        "labels": [i % 2 for i in range(count)],
    }
    videos = read_shards(write(tmp_path, **columns), "train")
    sampler = TrainSampler(num_samples=len(videos), global_batch=8, per_pass=8, seed=1)
    order = [request.index for batch in sampler for request in batch]
    places = np.array([tar_member(path).offset for path in videos.paths])[order]
    ranks = np.argsort(np.argsort(places))
    # For a random order the standard deviation is 1 / sqrt(4999) = 0.014; these are five of it.
    assert abs(np.corrcoef(ranks, np.arange(count))[0, 1]) < 0.07
    assert abs(np.corrcoef(ranks[1:], ranks[:-1])[0, 1]) < 0.07
