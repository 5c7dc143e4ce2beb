"""Training and testing from shards: as from the files, wherever the shards lie."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.range_server import serving
from tests.small_videos import small_video
from timesformer.annotations import remote
from timesformer.annotations.csv_list import read_video_list
from timesformer.annotations.places import tar_member
from timesformer.config import load_config
from timesformer.datasets import build_dataset
from timesformer.datasets.loader import build_loader
from timesformer.datasets.sampler import EvalSampler, Request, TrainSampler
from timesformer.datasets.shard_member import read_member
from timesformer.errors import UnreadableVideo, UserError
from timesformer.preparation.lists import DataSet
from timesformer.preparation.shards import make_shards
from timesformer.preparation.workers import Crew, How

NUM = 13
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for index in range(NUM):
        small_video(folder / f"{index}.avi", seed=index)
    for split in SPLITS:
        (folder / f"{split}.csv").write_text("".join(f"{i}.avi {i % 3}\n" for i in range(NUM)))
    return folder


@pytest.fixture(scope="module")
def shards(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    data = DataSet({s: read_video_list(files / f"{s}.csv") for s in SPLITS}, 3, 30.0)
    make_shards(data, str(out), shard_bytes=40_000, seed=0, how=How(Crew(1, 60)))
    return out


def config(place: object):
    settings = {
        "DATA.PATH_TO_DATA_DIR": str(place),
        "DATA.NUM_FRAMES": 4,
        "DATA.SAMPLING_RATE": 1,
        "DATA.TRAIN_JITTER_SCALES": [32, 40],
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TEST_CROP_SIZE": 32,
        "TEST.NUM_ENSEMBLE_VIEWS": 2,
        "MODEL.NUM_CLASSES": 3,
    }
    return load_config(None, [item for pair in settings.items() for item in pair])


def loaded(dataset, sampler, workers=1):
    return list(build_loader(dataset, sampler, num_workers=workers, pin_memory=False))


def sampler(rank=0, processes=1, epoch=0):
    made = TrainSampler(
        num_samples=NUM, global_batch=6, per_pass=6, rank=rank, world_size=processes, seed=3
    )
    made.epoch = epoch
    return made


@pytest.mark.parametrize("split", SPLITS)
def test_items_are_those_of_the_files(files, shards, split):
    from_files = build_dataset("video_csv", config(files), split)
    from_shards = build_dataset("shards", config(shards), split)
    assert len(from_files) == len(from_shards) == NUM
    for index in range(NUM):
        request = Request(index, epoch=2)
        one, other = from_files[request], from_shards[request]
        assert torch.equal(one.views, other.views)
        assert (one.label, one.index, one.failures) == (other.label, other.index, other.failures)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_an_epoch_has_every_video_once_over_all_processes(shards, processes):
    dataset = build_dataset("shards", config(shards), "train")
    counted: Counter[int] = Counter()
    for rank in range(processes):
        for batch in loaded(dataset, sampler(rank, processes)):
            assert batch.failures == ()
            counted.update(batch.indices[batch.weights > 0].tolist())
    assert counted == Counter(range(NUM))


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_test_has_every_video_once_over_all_processes(shards, processes):
    dataset = build_dataset("shards", config(shards), "test")
    counted: Counter[int] = Counter()
    for rank in range(processes):
        batches = EvalSampler(num_samples=NUM, batch_size=2, rank=rank, world_size=processes)
        for batch in loaded(dataset, batches):
            counted.update(batch.indices.tolist())
    assert counted == Counter(range(NUM))


def test_a_run_that_goes_on_sees_what_it_would_have_seen(shards):
    def views(epochs, workers):
        dataset = build_dataset("shards", config(shards), "train")
        batches = [loaded(dataset, sampler(epoch=epoch), workers) for epoch in epochs]
        return [batch.views for epoch in batches for batch in epoch]

    through, again = views([0, 1, 2], workers=2), views([1, 2], workers=1)
    passes = len(sampler())
    assert all(map(torch.equal, through[passes:], again))
    assert not torch.equal(through[0], through[passes])


# Python 3.12 warns of any fork with threads; fsspec's thread is the parent's and stays there.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_web_server_serves_forked_workers_too(files, shards):
    from_files = build_dataset("video_csv", config(files), "train")
    with serving(shards) as server:
        dataset = build_dataset("shards", config(server.url), "train")  # opens a connection here
        assert torch.equal(dataset[0].views, from_files[0].views)
        for batch in loaded(dataset, sampler(), workers=2):
            assert batch.failures == ()
            for index, views in zip(batch.indices.tolist(), batch.views, strict=True):
                assert torch.equal(views, from_files[index].views)
        assert server.requests[0] == "/train.index.json"
        assert len(server.requests[1:]) == 1 + NUM  # one for each video


def copied(shards: Path, folder: Path) -> Path:
    for path in shards.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_shard_that_is_cut_short_during_a_run_is_named(shards, tmp_path):
    dataset = build_dataset("shards", config(copied(shards, tmp_path)), "test")
    member = tar_member(dataset.videos.paths[4])
    os.truncate(member.tar, member.offset + 100)
    (failure,) = dataset[4].failures
    assert failure.path == dataset.videos.paths[4]
    assert f"the shard gave 100 bytes for it, not {member.size}" in failure.reason
    Path(member.tar).unlink()
    assert "No such file" in dataset[4].failures[0].reason
    with pytest.raises(UserError, match="the shard .*tar cannot be read: No such file"):
        build_dataset("shards", config(tmp_path), "test")


def test_a_web_server_without_ranges_or_with_a_short_shard_is_named(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_PAUSES", ())
    with serving(copied(shards, tmp_path)) as server:
        dataset = build_dataset("shards", config(server.url), "test")
        member = tar_member(dataset.videos.paths[0])
        size = (tmp_path / Path(member.tar).name).stat().st_size
        server.knows_ranges = False
        with pytest.raises(
            UnreadableVideo, match=f"gave {size} bytes .*its server knows no ranges"
        ):
            read_member(member)
        server.knows_ranges = True
        os.truncate(tmp_path / Path(member.tar).name, member.offset + 7)
        with pytest.raises(UnreadableVideo, match="the shard gave 7 bytes for it"):
            read_member(member)
        (tmp_path / Path(member.tar).name).unlink()
        with pytest.raises(UnreadableVideo, match=f"{member.tar}"):
            read_member(member)


def test_labels_must_fit_the_network(shards):
    cfg = config(shards).clone()
    cfg.defrost()
    cfg.MODEL.NUM_CLASSES = 2
    with pytest.raises(UserError, match="up to 2, but MODEL.NUM_CLASSES is 2. Set MODEL.NUM_CLAS"):
        build_dataset("shards", cfg, "train")
