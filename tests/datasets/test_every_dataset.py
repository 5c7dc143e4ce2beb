"""One battery for every registered data set, on miniatures in their published formats."""

from __future__ import annotations

import re
import shlex
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.datasets.miniatures import (
    CODECS,
    LEVELS,
    MINIATURES,
    TRAIN_LEVELS,
    VAL_LEVELS,
    Miniature,
    write_frames,
)
from tests.shared_data import DATA, ROOT, needs_shared_data
from timesformer.config import load_config
from timesformer.datasets import DATASET_REGISTRY, build_dataset
from timesformer.datasets.build import read_list
from timesformer.datasets.lists import REPLACED_BY_LISTS
from timesformer.datasets.loader import build_loader
from timesformer.datasets.sampler import EvalSampler, TrainSampler
from timesformer.errors import UserError

OFFICIAL = DATA / "annotations"


def config(miniature, output="", **changes):
    values = {
        "DATA.NUM_FRAMES": 4,
        "DATA.SAMPLING_RATE": 3,
        "DATA.TRAIN_JITTER_SCALES": [32, 40],
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TEST_CROP_SIZE": 32,
        "TEST.NUM_ENSEMBLE_VIEWS": 2,
        "OUTPUT_DIR": str(output),
        **miniature.settings,
        **{name.replace("__", "."): value for name, value in changes.items()},
    }
    return load_config(None, [item for pair in values.items() for item in pair])


def registered(name):
    """``ssv2/files`` is a form of ``ssv2``."""
    return name.partition("/")[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A miniature by name, made once for the module: tests that change one copy it."""
    kept: dict[str, Miniature] = {}

    def make(name):
        if name not in kept:
            kept[name] = MINIATURES[name](tmp_path_factory.mktemp("set"))
        return kept[name]

    return make


every_dataset = pytest.mark.parametrize("name", sorted(MINIATURES))


def test_every_registered_data_set_has_a_miniature():
    assert {registered(name) for name in MINIATURES} == set(DATASET_REGISTRY.names())


@every_dataset
@pytest.mark.parametrize(("split", "views"), [("train", 1), ("val", 1), ("test", 6)])
def test_items_are_as_documented(made, name, split, views):
    mini = made(name)
    dataset = build_dataset(registered(name), config(mini), split)
    assert len(dataset) == mini.lengths[split]
    assert dataset.videos.class_names == mini.class_names
    assert dataset.videos.labels.dtype == np.int64
    items = [dataset[index] for index in range(len(dataset))]
    for index, item in enumerate(items):
        assert item.views.shape == (views, 3, 4, 32, 32)
        assert item.views.dtype == torch.uint8
        assert (item.index, item.counted, item.failures) == (index, True, ())
    if mini.has_levels:
        assert [item.label for item in items] == ([0, 0, 0, 1] if split == "train" else [0, 1])
        levels = TRAIN_LEVELS if split == "train" else VAL_LEVELS
        for item, level in zip(items, levels, strict=True):
            # Video codecs and JPEG keep a grey level to within two.
            assert (item.views.float() - level).abs().max() <= 2


@every_dataset
@pytest.mark.parametrize("split", ["train", "test"])
def test_batches_do_not_depend_on_the_workers(made, name, split):
    dataset = build_dataset(registered(name), config(made(name)), split)
    if split == "train":
        sampler = TrainSampler(num_samples=len(dataset), global_batch=2, per_pass=2, seed=3)
    else:
        sampler = EvalSampler(num_samples=len(dataset), batch_size=2)
    alone, helped = (
        list(build_loader(dataset, sampler, num_workers=workers, pin_memory=False))
        for workers in (0, 2)
    )
    assert len(alone) == len(helped) == len(dataset) // 2
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.views, other.views)
        assert torch.equal(one.labels, other.labels)


@every_dataset
def test_a_mistake_in_a_list_is_answered_with_its_place(name, tmp_path):
    mini = MINIATURES[name](tmp_path)
    mistake = mini.mistake
    if mistake is None:
        pytest.skip("it has no lists")
    text = mistake.file.read_bytes().decode()
    assert mistake.old in text
    mistake.file.write_bytes(text.replace(mistake.old, mistake.new).encode())
    with pytest.raises(UserError, match=mistake.answer):
        read_list(registered(name), config(mini), "train")


@every_dataset
def test_a_missing_video_is_replaced_or_left_out(name, tmp_path):
    mini = MINIATURES[name](tmp_path / "set")
    if not mini.has_paths:
        pytest.skip("a data set without paths misses nothing")
    shutil.rmtree(mini.removable) if mini.removable.is_dir() else mini.removable.unlink()
    present = mini.lengths["train"] - 1

    item = build_dataset(registered(name), config(mini), "train")[0]
    assert item.views is not None
    assert (mini.name or mini.removable.stem) in item.failures[0].path

    output = tmp_path / "out"
    cfg = config(mini, output, DATA__SKIP_MISSING=True)
    assert len(build_dataset(registered(name), cfg, "train")) == present
    (missing,) = (output / "missing_train.txt").read_text().splitlines()
    assert (mini.name or mini.removable.stem) in missing


@every_dataset
def test_a_wrong_folder_of_videos_is_answered(made, name, tmp_path):
    mini = made(name)
    if not mini.has_paths:
        pytest.skip("its videos lie where its lists do")
    (tmp_path / "empty").mkdir()
    prefix = {"DATA__PATH_PREFIX": str(tmp_path / "empty")}
    for changes in (prefix, prefix | {"DATA__SKIP_MISSING": True}):
        with pytest.raises(UserError, match=r"None of the first .* exists; .*DATA\.PATH_PREFIX"):
            read_list(registered(name), config(mini, **changes), "train")


@every_dataset
def test_a_smaller_fraction_is_a_part_of_a_larger_one(made, name):
    parts = []
    for share in (0.25, 0.5, 1.0):
        cfg = config(made(name), DATA__TRAIN_FRACTION=share)
        parts.append(set(read_list(registered(name), cfg, "train").paths))
    assert parts[0] < parts[1] < parts[2]
    assert len(parts[2]) == made(name).lengths["train"]
    validation = read_list(registered(name), config(made(name), DATA__TRAIN_FRACTION=0.25), "val")
    assert len(validation) == made(name).lengths["val"]


@every_dataset
def test_balanced_epochs_show_every_class_equally_often(made, name):
    labels = build_dataset(registered(name), config(made(name)), "train").videos.labels
    sampler = TrainSampler(
        num_samples=len(labels), global_batch=2, per_pass=2, seed=0, balance=labels
    )
    shown = Counter(int(labels[request.index]) for batch in sampler for request in batch)
    assert set(shown.values()) == {len(labels) // len(set(labels.tolist()))}


@every_dataset
def test_another_number_of_classes_is_refused(made, name):
    mini = made(name)
    fewer = mini.settings["MODEL.NUM_CLASSES"] - 1
    with pytest.raises(UserError, match=r"MODEL\.NUM_CLASSES"):
        read_list(registered(name), config(mini, MODEL__NUM_CLASSES=fewer), "train")


@every_dataset
def test_what_a_mirror_would_turn_round_is_not_mirrored(made, name):
    mini = made(name)
    cfg = config(mini, DATA__RANDOM_FLIP=True)
    read_list(registered(name), cfg, "train")  # for tools, which train nothing
    build_dataset(registered(name), cfg, "val")
    if registered(name) not in ("ssv2", "ssv1", "jester", "motion_shapes"):
        build_dataset(registered(name), cfg, "train")
        return
    with pytest.raises(UserError, match=r"RANDOM_FLIP must be False on .* a mirrored"):
        build_dataset(registered(name), cfg, "train")


# --- the real lists -------------------------------------------------------------------------------


@needs_shared_data
def test_real_ucf101_videos_by_their_official_list(tmp_path):
    mini = Miniature(
        {
            "DATA.PATH_TO_DATA_DIR": str(OFFICIAL / "ucf101"),
            "DATA.PATH_PREFIX": str(DATA / "ucf101_mini"),
            "DATA.SKIP_MISSING": True,
            "MODEL.NUM_CLASSES": 101,
        },
        Path(),
    )
    train, test = (
        build_dataset("ucf101", config(mini, tmp_path), split) for split in ("train", "test")
    )
    assert (len(train), len(test)) == (162, 63)
    names = train.videos.class_names
    assert {names[label] for label in train.videos.labels} == set(
        (DATA / "ucf101_mini/classes.txt").read_text().split()
    )
    assert len((tmp_path / "missing_train.txt").read_text().splitlines()) == 9537 - 162
    assert train[161].views.shape == (1, 3, 4, 32, 32)
    assert test[0].views.shape == (6, 3, 4, 32, 32)


# --- the guide ------------------------------------------------------------------------------------

GUIDE = (ROOT / "DATASET.md").read_text()
COMMANDS = re.findall(r"^python (tools/\w+\.py) (.*)$", GUIDE.replace("\\\n", ""), re.MULTILINE)


def test_the_guide_names_every_data_set():
    assert len(COMMANDS) > 20
    names = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*?\|", GUIDE, re.MULTILINE)))
    assert set(DATASET_REGISTRY.names()) <= set(names)
    for heading in re.findall(r"\(#([\w-]+)\)", GUIDE):
        headings = [line.lstrip("# ") for line in GUIDE.splitlines() if line.startswith("#")]
        assert heading in {text.lower().replace(" ", "-") for text in headings}


@pytest.mark.parametrize(("tool", "arguments"), COMMANDS)
def test_commands_of_the_guide_would_be_accepted(tool, arguments):
    words = shlex.split(arguments)
    if tool == "tools/run_net.py" and words[1] != "CONFIG":
        assert words[0] == "--cfg"
        cfg = load_config(ROOT / words[1], words[2:])
        assert cfg.TRAIN.DATASET in DATASET_REGISTRY
        assert cfg.TRAIN.DATASET == cfg.TEST.DATASET
    elif tool in ("tools/check_dataset.py", "tools/prepare_dataset.py") and words[0] != "NAME":
        assert words[0] in DATASET_REGISTRY
        load_config(None, words[words.index("DATA.PATH_TO_DATA_DIR") :])


@pytest.mark.parametrize("name", REPLACED_BY_LISTS)
def test_lists_of_ours_are_read_in_place_of_the_published_ones(name, tmp_path):
    """What `prepare_dataset` writes is trained on by changing the folder alone."""
    (tmp_path / "a.mp4").touch()
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").write_text("path,label\na.mp4,1\n")
    cfg = load_config(None, ["DATA.PATH_TO_DATA_DIR", str(tmp_path)])
    for split in ("train", "val", "test"):
        videos = read_list(name, cfg, split)
        assert (list(videos.paths), videos.labels.tolist()) == ([str(tmp_path / "a.mp4")], [1])


def test_a_folder_is_searched_though_it_holds_lists(tmp_path):
    """They may be of other videos, and keys such as DATA.GROUP_PATTERN must not be in vain."""
    for name in ("a/1.mp4", "b/1.mp4", "b/2.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "train.csv").write_text("path,label\nb/1.mp4,0\n")
    keys = ["DATA.PATH_TO_DATA_DIR", str(tmp_path), "DATA.SPLIT_FRACTIONS", "[1, 0, 0]"]
    cfg = load_config(None, [*keys, "MODEL.NUM_CLASSES", 2])
    assert read_list("folder", cfg, "train").labels.tolist() == [0, 1, 1]


FRAMES = ["ucf101", "hmdb51", "kinetics/official", "kinetics/ids", "diving48", "ssv2/files"]


@pytest.mark.parametrize("name", FRAMES)
def test_folders_of_frames_stand_for_the_files_of_official_lists(name, tmp_path):
    mini = MINIATURES[name](tmp_path)
    for video in [path for path in tmp_path.rglob("*") if path.suffix in CODECS]:
        level = max(level for level in LEVELS if str(level) in video.stem)
        video.unlink()
        write_frames(video.with_suffix(""), level)
    for split, levels in (("train", TRAIN_LEVELS), ("test", VAL_LEVELS)):
        dataset = build_dataset(registered(name), config(mini), split)
        for item, level in zip([dataset[i] for i in range(len(dataset))], levels, strict=True):
            assert item.failures == ()
            assert (item.views.float() - level).abs().max() <= 2
