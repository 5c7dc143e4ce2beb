"""Training with everything on: repeated clips, augmentation, erasing, mixup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.runs import TINY_CONFIG, final_weights, losses, metrics, options, same, train
from timesformer.config import load_config
from timesformer.datasets.augment import Augment
from timesformer.datasets.build import build_dataset, train_input
from timesformer.datasets.sampler import Request
from timesformer.errors import UserError

EVERYTHING = {
    "AUG__NUM_SAMPLE": 2,
    "AUG__AA_TYPE": "rand-m7-n4-mstd0.5-inc1",
    "AUG__RE_PROB": 0.5,
    "AUG__RE_COUNT": 2,
    "DATA__TRAIN_JITTER_SCALES_RELATIVE": [0.08, 1.0],
    "DATA__TRAIN_JITTER_ASPECT_RELATIVE": [0.75, 1.3333],
    "MIXUP__ENABLED": True,
    "MODEL__LABEL_SMOOTHING": 0.1,
}
SHORT = {"SOLVER__MAX_EPOCH": 1, "TRAIN__EVAL_PERIOD": 0, "TEST__ENABLE": False}


def test_the_number_of_workers_changes_nothing(videos: Path, tmp_path: Path) -> None:
    none = train(videos, tmp_path / "none", **EVERYTHING)
    two = train(videos, tmp_path / "two", DATA_LOADER__NUM_WORKERS=2, **EVERYTHING)
    assert losses(none) == losses(two)
    assert same(final_weights(none), final_weights(two))
    assert all(0 < loss < 5 for loss in losses(none))
    assert len(losses(none)) == 2 * 6  # 21 videos, two clips each: ten steps of 8 clips and one
    assert metrics(none, "test_final")


@pytest.mark.slow
def test_the_number_of_processes_and_passes_changes_nothing(videos: Path, tmp_path: Path) -> None:
    changes = {name: EVERYTHING[name] for name in EVERYTHING if not name.startswith("MIXUP")}
    one = train(videos, tmp_path / "one", **SHORT, **changes)
    two = train(videos, tmp_path / "two", NUM_PROCS=2, **SHORT, **changes)
    passes = train(videos, tmp_path / "passes", TRAIN__BATCH_SIZE=2, **SHORT, **changes)
    # Sums of float32 in another order.
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    assert losses(passes) == pytest.approx(losses(one), abs=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"AUG__COLOR_JITTER": 0.4},
        {"AUG__AA_TYPE": "original"},
        {"AUG__RE_PROB": 1.0, "AUG__RE_MODE": "const"},
        {
            "DATA__TRAIN_JITTER_SCALES_RELATIVE": [0.08, 1.0],
            "DATA__TRAIN_JITTER_ASPECT_RELATIVE": [0.75, 1.3333],
        },
        {"AUG__NUM_SAMPLE": 2},
        {"AUG__NUM_SAMPLE": 4},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_each_of_them_alone(videos: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    plain = train(videos, tmp_path / "plain", **SHORT)
    other = train(videos, tmp_path / "other", **SHORT, **changes)
    assert all(0 < loss < 5 for loss in losses(other))
    assert losses(other) != losses(plain), "the settings did nothing"


def test_batches_are_counted_in_clips(videos: Path, tmp_path: Path) -> None:
    train(videos, tmp_path, AUG__NUM_SAMPLE=2, **SHORT)
    log = (tmp_path / "stdout.log").read_text()
    assert "effective batch: 8 clips a step = 1 processes x 8 clips x 1 passes" in log
    assert "2 clips of each video" in log


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"AUG__NUM_SAMPLE": 3}, "BATCH_SIZE 8 is split .* AUG.NUM_SAMPLE 3: use a multiple of 3$"),
        ({"AUG__NUM_SAMPLE": 8, "MIXUP__ENABLED": True}, "MIXUP.ENABLED mixes .* at least 16$"),
        ({"AUG__AA_TYPE": "rand-m9-w0"}, "AUG.AA_TYPE is 'rand-m9-w0', in which 'w0'"),
    ],
)
def test_what_cannot_be_is_said_before_the_run(
    videos: Path, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        train(videos, tmp_path, **changes)
    assert not (tmp_path / "stdout.log").exists()


@pytest.mark.parametrize(("bgr", "fill"), [(False, [0, 102, 255]), (True, [255, 102, 0])])
def test_what_comes_in_from_outside_is_the_mean_colour(bgr: bool, fill: list[int]) -> None:
    """Of RGB frames; DATA.MEAN is that of what the model sees, and may lie outside 0 to 1."""
    opts = ["AUG.COLOR_JITTER", 0.4, "DATA.MEAN", [-0.5, 0.4, 1.5]]
    cfg = load_config(None, [*opts, "DATA.REVERSE_INPUT_CHANNEL", bgr])
    made = train_input(cfg, torch.device("cpu")).augmentation
    assert isinstance(made, Augment)
    assert made.fill == fill


def test_the_clips_of_an_item_are_of_one_video_and_differ(videos: Path, tmp_path: Path) -> None:
    def dataset(**changes: Any) -> Any:
        cfg = load_config(TINY_CONFIG, options(videos, tmp_path, **changes))
        return build_dataset("kinetics", cfg, "train")

    item = dataset(AUG__NUM_SAMPLE=3)[Request(4, epoch=1)]
    assert item.views.shape[0] == 3
    assert len({clip.numpy().tobytes() for clip in item.views}) == 3
    again = dataset(AUG__NUM_SAMPLE=3)[Request(4, epoch=1)]
    assert torch.equal(item.views, again.views)
    seeds = {
        item.seed,
        dataset()[Request(4, epoch=1)].seed,
        dataset()[Request(4, epoch=2)].seed,
        dataset()[Request(5, epoch=1)].seed,
        dataset()[Request(4, epoch=1, repeat=1)].seed,
    }
    assert len(seeds) == 5


@pytest.mark.gpu
def test_everything_on_a_gpu(videos: Path, tmp_path: Path) -> None:
    changes = EVERYTHING | {"NUM_GPUS": 1, "DATA_LOADER__NUM_WORKERS": 2}
    first = train(videos, tmp_path / "first", **changes)
    again = train(videos, tmp_path / "again", **changes)
    assert all(0 < loss < 5 for loss in losses(first))
    # The same clips; sums of float32 in another order.
    assert losses(again) == pytest.approx(losses(first), abs=1e-3)
