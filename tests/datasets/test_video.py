"""The data sets as a whole: shapes, determinism, replacement, and what an item says of failures."""

import shutil

import pytest
import torch

from tests.datasets.miniatures import write_frames, write_video
from tests.shared_data import DATA, needs_shared_data
from timesformer.config import load_config
from timesformer.datasets import build_dataset
from timesformer.datasets.batch import collate
from timesformer.datasets.loader import build_loader
from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.datasets.sampler import EvalSampler, Request, TrainSampler
from timesformer.datasets.sampling import Timeline
from timesformer.errors import UserError


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes") / "set"
    ensure_motion_shapes(folder, num_train=8, num_val=3, num_test=5)
    return folder


def config(folder, **changes):
    settings = {
        "DATA.PATH_TO_DATA_DIR": str(folder),
        "DATA.NUM_FRAMES": 4,
        "DATA.SAMPLING_RATE": 3,
        "DATA.TRAIN_JITTER_SCALES": [32, 40],
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TEST_CROP_SIZE": 32,
        "TEST.NUM_ENSEMBLE_VIEWS": 2,
        "MODEL.NUM_CLASSES": 4,
    }
    settings |= {name.replace("__", "."): value for name, value in changes.items()}
    return load_config(None, [item for pair in settings.items() for item in pair])


@pytest.mark.parametrize("name", ["video_csv", "kinetics"])  # all others: test_every_dataset.py
@pytest.mark.parametrize(
    ("split", "length", "views"), [("train", 8, 1), ("val", 3, 1), ("test", 5, 6)]
)
def test_items_are_as_documented(shapes, name, split, length, views):
    dataset = build_dataset(name, config(shapes), split)
    assert len(dataset) == length
    item = dataset[1]
    assert item.views.shape == (views, 3, 4, 32, 32)
    assert item.views.dtype == torch.uint8
    assert item.views.is_contiguous()
    assert (item.label, item.index, item.counted, item.failures) == (1, 1, True, ())


def test_an_unknown_split_or_name_is_answered(shapes):
    with pytest.raises(UserError, match="'dev' is not a split; known: train, val, test"):
        build_dataset("kinetics", config(shapes), "dev")
    with pytest.raises(
        UserError, match="'kinetic' is not a known data set. Did you mean 'kinetics'"
    ):
        build_dataset("kinetic", config(shapes), "val")


def test_training_randomness_is_a_function_of_seed_epoch_and_index(shapes):
    dataset = build_dataset("kinetics", config(shapes), "train")
    again = build_dataset("kinetics", config(shapes), "train")
    other = build_dataset("kinetics", config(shapes, RNG_SEED=1), "train")
    first = dataset[Request(2, epoch=5)].views
    assert torch.equal(first, again[Request(2, epoch=5)].views)
    assert not torch.equal(first, dataset[Request(2, epoch=6)].views)
    assert not torch.equal(first, other[Request(2, epoch=5)].views)


def test_evaluation_is_deterministic_and_validation_takes_the_middle(shapes):
    val = build_dataset("kinetics", config(shapes), "val")
    assert torch.equal(val[0].views, val[0].views)
    # 24 frames, spans of 12: starts 0 and 6 of a test with 2 views; the second is the middle.
    assert val.sampling.middle(Timeline(24, 30.0)) == val.sampling.views(Timeline(24, 30.0), 2)[1]
    test = build_dataset("kinetics", config(shapes), "test")
    assert [view[0] for view in test.sampling.views(Timeline(24, 30.0), 2)] == [0, 6]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_depend_on_the_workers(shapes, workers):
    dataset = build_dataset("kinetics", config(shapes), "train")
    sampler = TrainSampler(num_samples=8, global_batch=3, per_pass=3, seed=0)
    loader = build_loader(dataset, sampler, num_workers=workers, pin_memory=False)
    for epoch in (0, 1):
        sampler.epoch = epoch
        for batch, requests in zip(loader, sampler, strict=True):
            assert batch.indices.tolist() == [request.index for request in requests]
            expected = torch.stack([dataset[request].views for request in requests])
            assert torch.equal(batch.views, expected)


@pytest.fixture
def damaged(shapes, tmp_path):
    folder = shutil.copytree(shapes, tmp_path / "damaged")
    (folder / "videos/train/00002.mp4").write_bytes(b"broken")
    (folder / "videos/test/00003.mp4").unlink()
    return folder


def test_an_unreadable_training_video_is_replaced_the_same_way_every_time(damaged):
    dataset = build_dataset("kinetics", config(damaged), "train")
    first, second = dataset[Request(2, epoch=1)], dataset[Request(2, epoch=1)]
    assert first.index == second.index != 2
    assert first.label == first.index % 4
    assert torch.equal(first.views, second.views)
    (failure,) = {failure.path for failure in first.failures}
    assert failure.endswith("videos/train/00002.mp4")


def test_an_unreadable_test_video_is_reported_and_left_out_of_the_views(damaged):
    dataset = build_dataset("kinetics", config(damaged), "test")
    assert dataset[3].views is None
    loader = build_loader(
        dataset, EvalSampler(num_samples=5, batch_size=5), num_workers=0, pin_memory=False
    )
    (batch,) = loader
    assert batch.readable.tolist() == [True, True, True, False, True]
    assert batch.views.shape[0] == 4
    assert batch.labels.tolist() == [0, 1, 2, 3, 0]
    assert [failure.path.endswith("00003.mp4") for failure in batch.failures] == [True]
    assert len(collate([dataset[3]]).views) == 0


# --- parts of files -------------------------------------------------------------------------------

# A video of three seconds, each of another grey level, and the parts of it that a list may mean.
LEVELS = (40, 120, 200)
PARTS = [
    ("1,2", {120}),
    ("1,", {120, 200}),
    (",1", {40}),
    (",", {40, 120, 200}),
    ("1.99,2.05", {200}),  # the first frame shown after 1.99 s is that at 2 s
    ("2.5,99", {200}),
]


@pytest.fixture(scope="module", params=["a.mp4", "b.webm", "c.avi", "frames"])
def parts(request, tmp_path_factory):
    """Lists of one file, a part a line."""
    folder = tmp_path_factory.mktemp("parts")
    if request.param == "frames":
        for second, level in enumerate(LEVELS):
            write_frames(folder / "frames", level, f"{second}_{{:05d}}.jpg")
    else:
        write_video(folder / request.param, LEVELS, num_frames=36)
    lines = [f"{request.param},0,{part}\n" for part, _ in PARTS]
    for split in ("train", "val", "test"):
        (folder / f"{split}.csv").write_text("path,label,start,end\n" + "".join(lines))
    return folder


def levels(views):
    """The grey levels of all frames of all views, to within what codecs do to them."""
    means = views.float().mean(dim=(1, 3, 4)).flatten()
    return {round(level / 40) * 40 for level in means.tolist()}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_clips_are_of_the_part_that_the_list_means(parts, split):
    dataset = build_dataset("video_csv", config(parts, DATA__FRAMES_FPS=12), split)
    for index, (_, allowed) in enumerate(PARTS):
        seen = set()
        for epoch in range(20 if split == "train" else 1):
            item = dataset[Request(index, epoch=epoch)]
            assert item.failures == ()
            seen |= levels(item.views)
        assert seen <= allowed
        if split == "train":
            assert seen == allowed, "random clips reach all of it"


def test_a_part_beyond_the_end_is_said_to_be_so(tmp_path):
    write_video(tmp_path / "a.mp4", 80, num_frames=12)
    (tmp_path / "test.csv").write_text("path,label,start,end\na.mp4,0,5,6.5\na.mp4,1,,\n")
    dataset = build_dataset("video_csv", config(tmp_path), "test")
    item = dataset[0]
    assert item.views is None
    (failure,) = item.failures
    assert failure.path == str(tmp_path / "a.mp4")
    assert failure.reason == "it has no frame from 5 s to 6.5 s: it is 1.0 s long"
    assert dataset[1].views is not None


@needs_shared_data
def test_real_ucf101_videos(tmp_path):
    folder = DATA / "ucf101_mini"
    dataset = build_dataset("kinetics", config(folder, MODEL__NUM_CLASSES=9), "test")
    assert len(dataset) == 63
    for index in range(0, 63, 9):
        assert dataset[index].views.shape == (6, 3, 4, 32, 32)
