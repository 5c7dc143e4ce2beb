"""DATA.ARROW_OF_TIME: what is shown backward is, to the bit, what is shown forward."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.datasets.miniatures import MINIATURES
from tests.models.tiny import randomise, tiny_network
from tests.shared_data import DATA, needs_shared_data
from tests.small_videos import small_frames, small_video
from timesformer.config import load_config
from timesformer.datasets import build_dataset
from timesformer.datasets.build import read_list
from timesformer.datasets.loader import build_loader
from timesformer.datasets.sampler import EvalSampler, Request, TrainSampler
from timesformer.datasets.sampling import Timeline
from timesformer.errors import UserError

NAMES = ("a.mp4", "b.mp4", "frames")
LENGTH = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos and a folder of frames, of three classes; the last line is a part of a video."""
    root = tmp_path_factory.mktemp("arrow")
    for seed, name in enumerate(NAMES[:2]):
        small_video(root / name, seed, num_frames=LENGTH)
    small_frames(root / "frames", 2, num_frames=LENGTH)
    lines = [f"{name},{label},,\n" for label, name in enumerate(NAMES)] + ["a.mp4,2,0.2,0.9\n"]
    for split in ("train", "val", "test"):
        (root / f"{split}.csv").write_text("path,label,start,end\n" + "".join(lines))
    return root


def config(folder: Path, **changes: object):
    values = {
        "DATA.PATH_TO_DATA_DIR": str(folder),
        "DATA.ARROW_OF_TIME": True,
        "DATA.NUM_FRAMES": 4,
        "DATA.SAMPLING_RATE": 3,
        "DATA.TRAIN_JITTER_SCALES": [32, 40],
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TEST_CROP_SIZE": 32,
        "TEST.NUM_ENSEMBLE_VIEWS": 2,
        "MODEL.NUM_CLASSES": 2,
        **{name.replace("__", "."): value for name, value in changes.items()},
    }
    return load_config(None, [item for pair in values.items() for item in pair])


def decoded(path: Path) -> np.ndarray:
    """All frames, uint8 (T, H, W, C)."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("sampling", ["stride", "segments", "uniform"])
@pytest.mark.parametrize("epoch", [0, 3])
def test_a_training_clip_is_the_reverse_of_the_frames_of_its_draw(folder, sampling, epoch) -> None:
    dataset = build_dataset("video_csv", config(folder, DATA__SAMPLING=sampling), "train")
    for index, name in enumerate(NAMES[:2]):
        frames, request = decoded(folder / name), Request(2 * index + 1, epoch=epoch)
        rng = request.rng(dataset.seed)
        with dataset.open_video(str(folder / name)) as reader:
            timeline = Timeline(LENGTH, reader.fps, reader.ticks_per_frame)
        forward = frames[dataset.sampling.random_clip(timeline, rng)]
        item = dataset[request]
        assert item.label == 1
        assert torch.equal(item.views[0], dataset.transform(forward[::-1], rng))


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("sampling", ["stride", "segments"])
def test_a_test_sees_the_same_frames_in_both_directions(folder, split, sampling) -> None:
    """Of whole videos, of folders of frames, and of parts of a video."""
    dataset = build_dataset("video_csv", config(folder, DATA__SAMPLING=sampling), split)
    assert len(dataset) == 2 * 4
    for index in range(0, 8, 2):
        forward, backward = dataset[index], dataset[index + 1]
        assert (forward.label, backward.label) == (0, 1)
        assert torch.equal(forward.views.flip(2), backward.views)
        assert not torch.equal(forward.views, backward.views)


def test_forward_is_what_is_seen_without_the_key(folder) -> None:
    cfg = config(folder, DATA__ARROW_OF_TIME=False, MODEL__NUM_CLASSES=3)
    plain = build_dataset("video_csv", cfg, "test")
    both = build_dataset("video_csv", config(folder), "test")
    for index in range(len(plain)):
        assert torch.equal(plain[index].views, both[2 * index].views)


@pytest.mark.parametrize("name", sorted(MINIATURES))
def test_every_data_set_has_both_directions_of_the_videos_of_a_split(name, tmp_path) -> None:
    mini = MINIATURES[name](tmp_path)
    registered = name.partition("/")[0]
    cfg = config(tmp_path, **{**mini.settings, "MODEL.NUM_CLASSES": 2}, DATA__RANDOM_FLIP=False)
    for split, length in mini.lengths.items():
        videos = read_list(registered, cfg, split)
        assert videos.class_names == ("forward", "backward")
        assert videos.labels.tolist() == [0, 1] * length
        assert videos.paths[::2] == videos.paths[1::2]
        assert len(set(videos.paths[::2])) == length


def test_both_directions_of_a_video_are_chosen_together(folder) -> None:
    """The share is one of each of the data set's own classes: of 1, 1 and 2 videos."""
    chosen = read_list("video_csv", config(folder, DATA__TRAIN_FRACTION=0.5), "train")
    assert len(chosen) == 2 * 3
    assert chosen.labels.tolist() == chosen.backward.tolist() == [0, 1] * 3


def test_batches_do_not_depend_on_the_workers(folder) -> None:
    for split, sampler in (
        ("train", TrainSampler(num_samples=8, global_batch=4, per_pass=4, seed=3)),
        ("test", EvalSampler(num_samples=8, batch_size=4)),
    ):
        dataset = build_dataset("video_csv", config(folder), split)
        alone, helped = (
            list(build_loader(dataset, sampler, num_workers=workers, pin_memory=False))
            for workers in (0, 2)
        )
        for one, other in zip(alone, helped, strict=True):
            assert torch.equal(one.views, other.views)
            assert torch.equal(one.labels, other.labels)


def test_the_number_of_classes_is_two(folder) -> None:
    sentence = (
        r"train\.csv, forward and backward \(DATA\.ARROW_OF_TIME\), is of a data set with 2 "
        r"classes, but MODEL\.NUM_CLASSES is 3; set MODEL\.NUM_CLASSES 2"
    )
    with pytest.raises(UserError, match=sentence):
        read_list("video_csv", config(folder, MODEL__NUM_CLASSES=3), "train")


@pytest.mark.parametrize(("scheme", "knows"), [("space_only", False), ("divided_space_time", True)])
def test_an_average_of_frames_knows_no_direction(folder, scheme, knows) -> None:
    """Whatever the weights; so that exactly half of its answers are right."""
    network = tiny_network(scheme, img_size=32).eval()
    randomise(network)
    dataset = build_dataset("video_csv", config(folder), "test")
    with torch.no_grad():
        forward, backward = (network(dataset[index].views / 255.0) for index in (0, 1))
    assert torch.allclose(forward, backward, rtol=1e-3, atol=1e-4) != knows


@needs_shared_data
def test_a_real_video_is_shown_backward() -> None:
    cfg = config(DATA / "ucf101_mini")
    dataset = build_dataset("kinetics", cfg, "test")
    assert len(dataset) == 126
    for index in (0, 60):
        assert torch.equal(dataset[index].views.flip(2), dataset[index + 1].views)
