"""The preview shows what the network gets."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from timesformer.config import load_config
from timesformer.datasets import build_dataset
from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.datasets.sampler import TrainSampler
from timesformer.errors import UserError
from timesformer.visualization.preview import preview, training_strips, words

REPO = Path(__file__).parents[2]
TINY_CONFIG = REPO / "configs" / "MotionShapes" / "TimeSformer_divST_tiny.yaml"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes") / "set"
    ensure_motion_shapes(folder, num_train=8, num_val=3, num_test=5)
    return folder


def options(folder):
    """The set of this file is small, and read as a csv: motion_shapes would have its own size."""
    names = ["TRAIN.DATASET", "video_csv", "TEST.DATASET", "video_csv"]
    return [*names, "DATA.PATH_TO_DATA_DIR", str(folder)]


def config(folder, *changes):
    return load_config(TINY_CONFIG, [*options(folder), *map(str, changes)])


def test_training_clips_are_those_of_the_epoch(shapes):
    cfg = config(shapes)
    dataset = build_dataset("video_csv", cfg, "train")
    sampler = TrainSampler(num_samples=8, global_batch=3, per_pass=3, seed=cfg.RNG_SEED)
    sampler.epoch = 2
    strips = list(training_strips(cfg, dataset, 3, epoch=2))
    for request, strip in zip(next(iter(sampler)), strips, strict=True):
        item = dataset[request]
        assert np.array_equal(strip.frames, item.views[0].permute(1, 2, 3, 0).numpy())
        name = dataset.videos.class_names[item.label]
        assert strip.caption == f"{name}   {Path(dataset.videos.paths[item.index]).name}"


def test_what_is_on_shows(shapes):
    plain = list(training_strips(config(shapes), build(shapes), 4, epoch=0))
    changes = ["AUG.AA_TYPE", "rand-m9-n2", "MIXUP.ENABLED", True]
    strips = list(training_strips(config(shapes, *changes), build(shapes, *changes), 4, epoch=0))
    assert not all(np.array_equal(a.frames, b.frames) for a, b in zip(plain, strips, strict=True))
    assert any(re.match(r"\d+ % \w+ \+ \d+ % \w+   ", strip.caption) for strip in strips)


def test_bgr_is_shown_as_rgb(shapes):
    bgr = ["DATA.REVERSE_INPUT_CHANNEL", True]
    plain = next(training_strips(config(shapes), build(shapes), 1, epoch=0))
    reversed_ = next(training_strips(config(shapes, *bgr), build(shapes, *bgr), 1, epoch=0))
    assert np.array_equal(plain.frames, reversed_.frames)


def build(folder, *changes):
    return build_dataset("video_csv", config(folder, *changes), "train")


def test_words_for_a_mixture(shapes):
    dataset = build(shapes)
    assert words(torch.tensor(2), dataset) == "left"
    assert words(torch.tensor([0.0, 1.0, 0.0, 0.0]), dataset) == "down"
    assert words(torch.tensor([0.25, 0.0, 0.0, 0.75]), dataset) == "75 % right + 25 % up"


def test_all_views_of_a_test(shapes, tmp_path):
    cfg = config(shapes)
    png, page = preview(cfg, "test", num_videos=2, epoch=0, out=tmp_path / "sub" / "sheet")
    views = cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
    text = page.read_text(encoding="utf-8")
    assert text.count("<figure>") == 2 * views
    assert "clip 2, crop 3" in text
    with Image.open(png) as picture:
        assert picture.height > 2 * views * 100


def test_an_unreadable_video_is_named(shapes, tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    (tmp_path / "val.csv").write_text("a.mp4 0\n")
    cfg = config(tmp_path)
    with pytest.raises(UserError, match=r"the video '.*a\.mp4' cannot be read"):
        preview(cfg, "val", num_videos=1, epoch=0, out=tmp_path / "sheet")
    assert not (tmp_path / "sheet.png").exists()


def test_the_name_is_kept_and_one_that_cannot_be_written_is_named(shapes, tmp_path):
    png, page = preview(config(shapes), "val", num_videos=1, epoch=0, out=tmp_path / "run_1.5")
    assert (png.name, page.name) == ("run_1.5.png", "run_1.5.html")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/sheet.png' cannot be written .*name another --out"):
        preview(config(shapes), "val", num_videos=1, epoch=0, out=tmp_path / "file" / "sheet")


def test_the_door(shapes, tmp_path):
    command = [sys.executable, str(REPO / "tools" / "preview.py"), "--cfg", str(TINY_CONFIG)]
    data = [*options(shapes), "OUTPUT_DIR", str(tmp_path)]
    done = subprocess.run(
        [*command, "--split", "val", *data], capture_output=True, text=True, check=True, cwd=REPO
    )
    assert f"wrote {tmp_path}/preview_val.png" in done.stdout
    wrong = subprocess.run(
        [*command, "--num-videos", "0"], capture_output=True, text=True, check=False, cwd=REPO
    )
    assert (wrong.returncode, wrong.stderr) == (
        1,
        "error: --num-videos must be at least 1, and --epoch at least 0.\n",
    )
