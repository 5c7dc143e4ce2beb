"""One's own videos in a folder: every layout, splits that stay, a sentence for every mistake."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.shared_data import DATA, needs_shared_data
from tests.small_videos import small_frames, small_video
from timesformer.annotations.folders import read_folder, split_by_group
from timesformer.annotations.table import SPLITS
from timesformer.annotations.tree import find_videos
from timesformer.config import load_config
from timesformer.datasets import build_dataset
from timesformer.errors import UserError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def all_splits(folder: Path, **settings) -> dict[str, tuple[str, str]]:
    """The split and the class name of each path relative to `folder`."""
    found = {}
    for split in SPLITS:
        videos = read_folder(str(folder), split, **settings)
        for path, label in zip(videos.paths, videos.labels, strict=True):
            relative = str(Path(path).relative_to(folder))
            assert relative not in found
            found[relative] = split, videos.class_names[label]
    return found


def many(folder: Path, classes: int = 3, each: int = 40) -> Path:
    return touch(folder, *(f"c{c}/clip_{i}.mp4" for c in range(classes) for i in range(each)))


def config(folder: Path, **changes):
    settings = {
        "DATA.PATH_TO_DATA_DIR": str(folder),
        "DATA.NUM_FRAMES": 4,
        "DATA.SAMPLING_RATE": 2,
        "DATA.TRAIN_JITTER_SCALES": [32, 40],
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TEST_CROP_SIZE": 32,
        "MODEL.NUM_CLASSES": 2,
    }
    settings |= {name.replace("__", "."): value for name, value in changes.items()}
    return load_config(None, [item for pair in settings.items() for item in pair])


# --- layouts --------------------------------------------------------------------------------------


def test_class_folders_of_videos_and_of_frames(tmp_path):
    for index in range(3):
        small_video(tmp_path / "running" / f"{index}.AVI", seed=index)
        small_frames(tmp_path / "walking" / "monday" / f"v_{index}", seed=index)
    sizes = []
    for split in SPLITS:
        dataset = build_dataset("folder", config(tmp_path), split)
        sizes.append(len(dataset))
        assert dataset.videos.class_names == ("running", "walking")
        for index in range(len(dataset)):
            item = dataset[index]
            assert item.failures == ()
            assert item.views.shape[1:] == (3, 4, 32, 32)
            assert item.label == ("walking" in dataset.videos.paths[index])
    assert sizes == [2, 2, 2]  # classes of three have one for each split


def test_folders_that_are_split_already(tmp_path):
    for split in SPLITS:
        for name in ("boxing", "archery"):
            small_frames(tmp_path / split / name / f"v_{name}_g01", name="img_{:05}.jpg")
    found = all_splits(tmp_path, num_classes=2)
    assert found == {
        f"{split}/{name}/v_{name}_g01": (split, name)
        for split in SPLITS
        for name in ("boxing", "archery")
    }
    assert build_dataset("folder", config(tmp_path), "test")[0].failures == ()


def test_class_by_file_name(tmp_path):
    names = [f"{name}_{i:02}.mp4" for name in ("jumping_jacks", "squats") for i in range(9)]
    touch(tmp_path, *names)
    found = all_splits(tmp_path, class_pattern=r"(?P<class>[^/]+)_\d+\.mp4$")
    assert {path: name for path, (_, name) in found.items()} == {
        name: name.rpartition("_")[0] for name in names
    }


def test_class_before_the_first_underscore_of_a_folder_of_frames(tmp_path):
    for index in range(3):
        small_frames(tmp_path / f"class1_{index}", name="frame{:04}.png")
        small_frames(tmp_path / f"class2_{index}", name="frame{:04}.png")
    changes = {"DATA__CLASS_PATTERN": "^(?P<class>[^_/]+)_"}
    dataset = build_dataset("folder", config(tmp_path, **changes), "train")
    assert dataset.videos.class_names == ("class1", "class2")
    assert dataset[0].failures == ()


def test_numbered_classes_and_videos_are_in_natural_order(tmp_path):
    touch(tmp_path, *(f"class {c}/{i}.mp4" for c in (10, 9, 1) for i in (10, 9, 1)))
    videos = read_folder(str(tmp_path), "train", fractions=(1, 0, 0))
    assert videos.class_names == ("class 1", "class 9", "class 10")
    assert [Path(path).name for path in videos.paths[:3]] == ["1.mp4", "9.mp4", "10.mp4"]
    assert videos.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


# --- what lies in a folder ------------------------------------------------------------------------


def test_hidden_files_are_passed_over_and_others_counted(tmp_path, caplog):
    many(tmp_path)
    touch(tmp_path, "c0/.DS_Store", "c0/._clip_0.mp4", ".git/x.mp4", "c0/a.txt", "c1/b.TXT", "c1/Q")
    (tmp_path / "c2" / "nothing").mkdir()
    with caplog.at_level(logging.INFO, "timesformer"):
        videos = read_folder(str(tmp_path), "train", fractions=(1, 0, 0))
    assert len(videos) == 120
    assert "ignored files that are no videos: 2 .txt, 1 no extension" in caplog.text
    assert "ignored folders without videos: 'c2/nothing'" in caplog.text


def test_what_is_said_is_said_once(tmp_path, caplog):
    many(tmp_path)
    with caplog.at_level(logging.INFO, "timesformer"):
        all_splits(tmp_path)
    assert caplog.text.count("120 videos of 3 classes") == 1


def test_links_are_followed_but_not_in_circles(tmp_path, caplog):
    elsewhere = many(tmp_path / "disk", classes=2, each=4)
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "one").symlink_to(elsewhere / "c0")
    (folder / "two").symlink_to(elsewhere / "c1")
    (elsewhere / "c1" / "again").symlink_to(folder)
    (elsewhere / "c1" / "itself").symlink_to("itself")
    with caplog.at_level(logging.INFO, "timesformer"):
        videos = read_folder(str(folder), "train", fractions=(1, 0, 0))
    assert videos.class_names == ("one", "two")
    assert len(videos) == 8
    assert "ignored links to a folder above them: 'two/again'" in caplog.text


def test_images_beside_videos_are_no_video(tmp_path):
    touch(tmp_path, "a/clip.mp4", "a/thumbnail.jpg", "a/frames/0.jpg", "a/frames/1.jpg")
    found = find_videos(str(tmp_path))
    assert found.videos == ["a/clip.mp4", "a/frames"]
    assert found.ignored == Counter({".jpg": 1})


def test_names_that_are_not_unicode(tmp_path):
    touch(tmp_path, "a/x.mp4", "b/x.mp4")
    odd = bytes(tmp_path) + b"/a/f\xfc\xdfe.mp4"
    with open(odd, "wb"):  # noqa: PTH123 - takes bytes
        pass
    videos = read_folder(str(tmp_path), "train", fractions=(1, 0, 0))
    assert sum(Path(path).exists() for path in videos.paths) == 3


# --- splits ---------------------------------------------------------------------------------------


def test_shares_are_about_as_asked_and_every_video_has_one_place(tmp_path):
    found = all_splits(many(tmp_path, classes=4, each=200))
    assert len(found) == 800
    sizes = Counter(split for split, _ in found.values())
    # Binomial: five standard deviations are 42 for val and test.
    assert abs(sizes["val"] - 80) < 42
    assert abs(sizes["test"] - 80) < 42
    for name in ("c0", "c1", "c2", "c3"):
        assert {split for split, other in found.values() if other == name} == set(SPLITS)


def test_other_videos_do_not_move_a_video(tmp_path):
    before = all_splits(many(tmp_path))
    touch(tmp_path, *(f"c{c}/new_{i}.mp4" for c in range(5) for i in range(30)))
    after = all_splits(tmp_path)
    assert len(after) == len(before) + 150
    assert {path: after[path] for path in before} == before
    for path in before:
        if not path.endswith("7.mp4"):
            (tmp_path / path).unlink()
    rest = all_splits(tmp_path)
    shared = before.keys() & rest.keys()
    # Of a class that shrinks to 4 old videos and 30 new ones.
    assert {path: rest[path] for path in shared} == {path: before[path] for path in shared}


def test_a_video_keeps_its_split_as_frames_and_in_another_container(tmp_path):
    names = [f"c{c}/v_{i}" for c in range(2) for i in range(40)]
    found = []
    for form in ("{}.AVI", "{}.mp4", "{}/0.jpg"):
        folder = touch(tmp_path / str(len(found)), *(form.format(name) for name in names))
        splits = all_splits(folder)
        found.append(
            {path.removesuffix(".AVI").removesuffix(".mp4"): s for path, s in splits.items()}
        )
    assert sorted(found[0]) == sorted(names)
    assert found[0] == found[1] == found[2]


def test_another_seed_is_another_split(tmp_path):
    many(tmp_path)
    splits = [all_splits(tmp_path, seed=seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(8))
def test_small_classes_train_first_and_then_have_what_is_left(size, seed):
    groups = [f"{label}/{i}" for label in range(6) for i in range(size)]
    labels = np.repeat(np.arange(6), size)
    splits = split_by_group(groups, labels, fractions=(0.8, 0.1, 0.1), seed=seed)
    for label in range(6):
        members = set(splits[labels == label].tolist())
        assert 0 in members
        assert len(members) == min(size, 3)


def test_a_stand_in_goes_back_when_its_class_has_grown():
    small = [f"a/{i}" for i in range(4)]
    large = [f"a/{i}" for i in range(400)]
    by_hash = split_by_group(large, np.zeros(400, int), fractions=(0.8, 0.1, 0.1), seed=0)
    splits = split_by_group(small, np.zeros(4, int), fractions=(0.8, 0.1, 0.1), seed=0)
    moved = splits != by_hash[:4]
    assert set(by_hash[:4][moved]) <= {0}  # only training videos stand in


def test_a_share_of_0_is_kept():
    labels = np.zeros(50, int)
    names = [str(i) for i in range(50)]
    for fractions in ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.0, 1.0, 0.0)):
        splits = split_by_group(names, labels, fractions=fractions, seed=3)
        assert {SPLITS[s] for s in splits} == {
            split for split, share in zip(SPLITS, fractions, strict=True) if share
        }


def test_groups_stay_together_even_across_classes(tmp_path):
    names = [f"c{c}/rec{r}_{i}.mp4" for c in range(3) for r in range(30) for i in range(4)]
    found = all_splits(touch(tmp_path, *names), group_pattern=r"(?P<group>rec\d+)_")
    by_group: dict[str, set[str]] = {}
    for path, (split, _) in found.items():
        by_group.setdefault(path.split("/")[1].split("_")[0], set()).add(split)
    assert len(by_group) == 30
    assert all(len(splits) == 1 for splits in by_group.values())
    assert {split for splits in by_group.values() for split in splits} == set(SPLITS)


def test_classes_without_a_test_video_are_named(tmp_path, caplog):
    touch(tmp_path, "big/1.mp4", "big/2.mp4", "big/3.mp4", "small/1.mp4")
    with caplog.at_level(logging.INFO, "timesformer"):
        read_folder(str(tmp_path), "train")
    assert "no val video of 'small'" in caplog.text
    assert "no test video of 'small'" in caplog.text
    assert "no train video" not in caplog.text


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "settings", "sentence"),
    [
        (["a.txt"], {}, "holds no videos: neither files such as"),
        (["0.jpg", "1.jpg"], {}, "holds no videos"),
        (["a/1.mp4", "b.mp4"], {}, "'b.mp4' lies in no class folder. .*DATA.CLASS_PATTERN"),
        (["a/0.jpg", "b/0.jpg"], {}, "'a' lies in no class folder"),
        (["a/1.mp4", "b/1.mp4", "notes/n.txt"], {}, "'notes' stands where class folders do"),
        (["UCF/a/1.mp4", "UCF/b/1.mp4"], {}, "all 2 videos are of one class, 'UCF'"),
        (
            ["a/1.mp4", "b/1.mp4"],
            {"num_classes": 400},
            r"holds 2 classes \('a', 'b'\), but MODEL.NUM_CLASSES is 400. Set MODEL.NUM_CLASSES 2",
        ),
        (
            ["train/1.mp4", "Validation/1.mp4"],
            {"num_classes": 2},
            r"'train' look like splits, .* Call them train, val and test",
        ),
        (
            ["a_1.mp4", "2.mp4"],
            {"class_pattern": "(?P<class>[a-z]+)_"},
            "CLASS_PATTERN .* finds no class in '2.mp4'",
        ),
        (["a/1.mp4"], {"class_pattern": "(?P<class>a*)b*c*"}, None),
        (["a_1.mp4"], {"class_pattern": "(?P<class>x*)"}, "finds no class in 'a_1.mp4'"),
        (["a_1.mp4"], {"class_pattern": "(a)_"}, "has no group named class"),
        (["a_1.mp4"], {"class_pattern": "(?P<class>a"}, "is no regular expression: missing"),
        (["a/1.mp4", "b/g1.mp4"], {"group_pattern": "(?P<group>g.)"}, "no group in 'a/1.mp4'"),
        (["a/1.mp4", "b/1.mp4"], {"group_pattern": "g."}, "has no group named group"),
        (
            ["train/a/1.mp4", "train/b/1.mp4", "val/a/1.mp4"],
            {},
            "has a folder train, but no folder test",
        ),
        (
            ["train/a/1.mp4", "train/b/1.mp4", "val/a/1.mp4", "test/A/1.mp4"],
            {},
            "no video in train is of the class 'A'",
        ),
        (
            ["train/a/1.mp4", "train/b/1.mp4", "val/a/1.mp4", "test/a/1.mp4", "more/a/2.mp4"],
            {},
            "'more/a/2.mp4' lies in none of the folders train, val and test",
        ),
        (
            ["train/a/1.mp4", "train/b/1.mp4", "train/c/n.txt", "val/a/1.mp4", "test/a/1.mp4"],
            {},
            "'train/c' stands where",
        ),
        (
            ["train/a/1.mp4", "train/b/1.mp4", "val/a/1.mp4", "test/a/1.mp4"],
            {"group_pattern": "(?P<group>.)"},
            "is split already, .* leave DATA.GROUP_PATTERN ''",
        ),
        (["a/1.mp4", "b/1.mp4"], {"fractions": (0.0, 0.0, 1.0)}, "in the split 'train'"),
    ],
)
def test_mistakes(tmp_path, files, settings, sentence):
    touch(tmp_path, *files)
    if sentence is None:
        sentence = "all 1 videos are of one class"
    with pytest.raises(UserError, match=sentence):
        read_folder(str(tmp_path), "train", **settings)


def test_a_folder_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="none cannot be read: No such file"):
        find_videos(str(tmp_path / "none"))


@pytest.mark.parametrize("fractions", ["[0.8, 0.1]", "[0.8, 0.1, 0.2]", "[1.2, -0.1, -0.1]"])
def test_shares_that_are_none(fractions):
    with pytest.raises(UserError, match="DATA.SPLIT_FRACTIONS .* 3 shares of 0 or more that sum"):
        load_config(None, ["DATA.SPLIT_FRACTIONS", fractions])


# --- real videos ----------------------------------------------------------------------------------


@needs_shared_data
def test_groups_of_ucf101():
    found = all_splits(DATA / "ucf101_mini", group_pattern=r"_(?P<group>g\d+)_", num_classes=9)
    assert len(found) == 225
    groups = {split: set() for split in SPLITS}
    for path, (split, name) in found.items():
        assert path.startswith(f"{name}/v_{name}_g")
        groups[split].add(path.split("_")[2])
    assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 25
    assert all(groups.values())


@needs_shared_data
def test_a_real_video_out_of_a_folder():
    cfg = config(DATA / "ucf101_mini", MODEL__NUM_CLASSES=9)
    item = build_dataset("folder", cfg, "val")[0]
    assert item.failures == ()
    assert item.views.float().std() > 10
