"""Every registered data set in miniature: its published lists and its tree of files, made up.

A miniature has two classes, four training videos of classes 0, 0, 0, 1 and two of classes 0, 1 to
validate and test on. All pixels of a video have one grey level, which tells the videos apart.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.synthetic.tasks import TASKS

TRAIN_LEVELS, VAL_LEVELS = (40, 60, 80, 100), (160, 190)
LEVELS = (*TRAIN_LEVELS, *VAL_LEVELS)
LABELS = (0, 0, 0, 1, 0, 1)
CODECS = {".mp4": "mpeg4", ".avi": "mpeg4", ".mkv": "mpeg4", ".webm": "libvpx"}


def write_video(
    path: Path, level: int | Sequence[int], *, num_frames: int = 12, fps: int = 12
) -> None:
    """A video of 40x32 pixels; several `level`s stand for equal parts of it, one after another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = [level] if isinstance(level, int) else level
    with av.open(str(path), "w") as container:
        stream = container.add_stream(CODECS[path.suffix], rate=fps)
        stream.width, stream.height, stream.pix_fmt = 40, 32, "yuv420p"
        for index in range(num_frames):
            grey = levels[index * len(levels) // num_frames]
            picture = np.full((32, 40, 3), grey, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_frames(folder: Path, level: int, pattern: str = "{:05d}.jpg", num: int = 12) -> None:
    """A folder of `num` images, numbered from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, num + 1):
        cv2.imwrite(str(folder / pattern.format(number)), np.full((32, 40, 3), level, np.uint8))


@dataclass(frozen=True)
class Mistake:
    """Replace `old` by `new` in the file, and the answer matches `answer`."""

    file: Path
    old: str
    new: str
    answer: str


@dataclass(frozen=True)
class Miniature:
    """A data set in miniature.

    Attributes:
        settings: of the config.
        removable: the first training video, a file or a folder.
        mistake: one in the training list.
        class_names: as the data set gives them.
        name: what the lists call the removable video; as it is called itself if empty.
        has_paths: whether it lists paths, each of which may be missing.
        has_levels: whether the grey levels are those of `LEVELS`.
        lengths: of the splits.
    """

    settings: dict[str, Any]
    removable: Path
    mistake: Mistake | None = None
    class_names: tuple[str, ...] = ()
    name: str = ""
    has_paths: bool = True
    has_levels: bool = True
    lengths: dict[str, int] = field(default_factory=lambda: {"train": 4, "val": 2, "test": 2})


MINIATURES: dict[str, Callable[[Path], Miniature]] = {}


def miniature_of(name: str) -> Callable[..., Callable[[Path], Miniature]]:
    """File a maker under the registered `name`, or ``name/variant``."""

    def add(make: Callable[[Path], Miniature]) -> Callable[[Path], Miniature]:
        MINIATURES[name] = make
        return make

    return add


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def pairs(names: Sequence[str]) -> list[str]:
    """Lines ``name label`` of the training videos."""
    return [f"{name} {label}" for name, label in zip(names, LABELS[:4], strict=True)]


def settings(folder: Path, prefix: Path | None = None, num_classes: int = 2) -> dict[str, Any]:
    return {
        "DATA.PATH_TO_DATA_DIR": str(folder),
        "DATA.PATH_PREFIX": str(prefix or ""),
        "MODEL.NUM_CLASSES": num_classes,
    }


# --- lists of this framework ----------------------------------------------------------------------


@miniature_of("video_csv")
def video_csv(root: Path) -> Miniature:
    videos = [f"clips/{level}.mp4" for level in LEVELS]
    for video, level in zip(videos, LEVELS, strict=True):
        write_video(root / video, level)
    lists = write(
        root / "train.csv",
        *pairs(videos[:4]),
    )
    for split in ("val", "test"):
        write(root / f"{split}.csv", f"{videos[4]} 0", f"{videos[5]} 1")
    write(root / "classes.txt", "jump", "run")
    return Miniature(
        settings(root),
        root / videos[0],
        Mistake(lists, "100.mp4 1", "100.mp4 2", r"train\.csv, line 4: the label 2"),
        ("jump", "run"),
    )


@miniature_of("kinetics/ids")
def kinetics_ids(root: Path) -> Miniature:
    """Lists of the authors of TimeSformer: an id and a label, the videos with their times."""
    for level in LEVELS:
        write_video(root / f"videos/some class/-id{level:08d}_000010_000020.mp4", level)
    ids = [f"-id{level:08d}" for level in LEVELS]
    lists = write(root / "train.csv", *pairs(ids[:4]))
    for split in ("val", "test"):
        write(root / f"{split}.csv", f"{ids[4]}.mp4 0", f"{ids[5]}.mp4 1")
    return Miniature(
        settings(root, root / "videos"),
        root / "videos/some class/-id00000040_000010_000020.mp4",
        Mistake(lists, " 1", " one", r"train\.csv, line 4: the label 'one' is not an integer"),
        name="-id00000040",
    )


@miniature_of("howto100m")
def howto100m(root: Path) -> Miniature:
    made = kinetics_ids(root)
    (root / "val.csv").unlink()
    return made


@miniature_of("motion_shapes")
def motion_shapes(root: Path) -> Miniature:
    return of_shapes(root / "set", "direction", num_train=16)


@miniature_of("motion_shapes_appearance")
def motion_shapes_appearance(root: Path) -> Miniature:
    return of_shapes(root / "set", "appearance", num_train=16)


@miniature_of("motion_shapes_order")
def motion_shapes_order(root: Path) -> Miniature:
    return of_shapes(root / "set", "order", num_train=18)


def of_shapes(folder: Path, task: str, *, num_train: int) -> Miniature:
    ensure_motion_shapes(folder, task=task, num_train=num_train, num_val=4, num_test=4)
    meta = folder / "meta.json"  # it would refuse a set that is not of its usual size
    told = json.loads(meta.read_text()) | {"num_clips": TASKS[task].num_clips}
    meta.write_text(json.dumps(told))
    num = len(TASKS[task].classes)
    first = f"{num - 1}.mp4 "  # of the last class
    answer = rf"train\.csv, line {num}: the label {num}"
    return Miniature(
        settings(folder, num_classes=num) | {"DATA.RANDOM_FLIP": False},
        folder / "videos/train/00000.mp4",
        Mistake(folder / "train.csv", f"{first}{num - 1}", f"{first}{num}", answer),
        TASKS[task].classes,
        has_levels=False,
        lengths={"train": num_train, "val": 4, "test": 4},
    )


@miniature_of("folder")
def folder(root: Path) -> Miniature:
    for split, levels in (("train", TRAIN_LEVELS), ("val", VAL_LEVELS), ("test", VAL_LEVELS)):
        for level in levels:
            name = "run" if level == levels[-1] else "jump"
            write_video(root / f"set/{split}/{name}/{level:03d}.mp4", level)
    return Miniature(
        settings(root / "set"),
        root / "set/train/jump/040.mp4",
        class_names=("jump", "run"),
        has_paths=False,
    )


@miniature_of("shards")
def shards(root: Path) -> Miniature:
    root.mkdir(parents=True, exist_ok=True)
    for split, levels in (("train", TRAIN_LEVELS), ("val", VAL_LEVELS), ("test", VAL_LEVELS)):
        shard = root / f"{split}-000000.tar"
        with tarfile.open(shard, "w") as tar:
            for level in levels:
                write_video(root / f"{level}.mp4", level)
                tar.add(root / f"{level}.mp4", f"{level}.mp4")
        with tarfile.open(shard) as tar:
            members = tar.getmembers()
        index = {
            "version": 1,
            "split": split,
            "fingerprint": "",
            "classes": ["jump", "run"],
            "shards": [shard.name],
            "shard_bytes": [shard.stat().st_size],
            "names": [member.name for member in members],
            "places": [0] * len(members),
            "offsets": [member.offset_data for member in members],
            "sizes": [member.size for member in members],
            "labels": [int(level == levels[-1]) for level in levels],
        }
        write(root / f"{split}.index.json", json.dumps(index))
    return Miniature(
        settings(root),
        root / "train-000000.tar",
        Mistake(root / "train.index.json", "[0, 0, 0, 1]", "[0, 0, 0, 2]", r"train\.index\.json"),
        ("jump", "run"),
        has_paths=False,
    )


# --- published lists ------------------------------------------------------------------------------


@miniature_of("kinetics/official")
def kinetics_official(root: Path) -> Miniature:
    """Clips in class folders, the csv files as DeepMind names them."""
    header = "label,youtube_id,time_start,time_end,split,is_cc"

    def line(level: int, name: str, split: str) -> str:
        write_video(root / f"videos/{name}/id_{level:08d}_000010_000020.mp4", level)
        return f"{name},id_{level:08d},10,20,{split},0"

    names = ("jump (high)", "jump (high)", "jump (high)", "run")
    train = [line(level, name, "train") for level, name in zip(TRAIN_LEVELS, names, strict=True)]
    val = [line(level, name, "val") for level, name in zip(VAL_LEVELS, names[2:], strict=True)]
    lists = write(root / "lists/train.csv", header, *train)
    write(root / "lists/validate.csv", header, *val)
    write(root / "lists/test.csv", header, *val)
    return Miniature(
        settings(root / "lists", root / "videos"),
        root / "videos/jump (high)/id_00000040_000010_000020.mp4",
        Mistake(lists, "00000100,10", "00000100,ten", r"train\.csv, line 5: time_start 'ten'"),
        ("jump (high)", "run"),
    )


@miniature_of("kinetics/whole")
def kinetics_whole(root: Path) -> Miniature:
    """Whole videos, of which only the second of three thirds is meant; the test has no labels."""
    header = "label,youtube_id,time_start,time_end,split"

    def line(level: int, name: str, split: str) -> str:
        write_video(root / f"videos/id_{level:08d}.mkv", (250, level, 5), num_frames=36)
        return f"{name},id_{level:08d},1,2,{split}"

    names = ("jump", "jump", "jump", "run")
    train = [line(level, name, "train") for level, name in zip(TRAIN_LEVELS, names, strict=True)]
    val = [line(level, name, "val") for level, name in zip(VAL_LEVELS, names[2:], strict=True)]
    lists = write(root / "kinetics-400_train.csv", header, *train)
    write(root / "kinetics-400_val.csv", header, *val)
    write(root / "kinetics-400_test.csv", "youtube_id,time_start,time_end,split", "x,1,2,test")
    return Miniature(
        settings(root, root / "videos") | {"DATA.TEST_SPLIT": "val"},
        root / "videos/id_00000040.mkv",
        Mistake(lists, "run,id", "run id", r"train\.csv, line 5: this is not a line of label"),
        ("jump", "run"),
    )


NO_FLIP = {"DATA.RANDOM_FLIP": False}


def _something(root: Path, folder: str, prefix: str) -> tuple[list[str], Path]:
    """The json files; the ids of the videos."""
    ids = [str(1000 + level) for level in LEVELS]
    templates = ("Holding [something]", "Pushing [something] onto [something]")

    def entries(ids: Sequence[str], labels: Sequence[int]) -> str:
        return json.dumps(
            [
                {"id": i, "label": "holding a cup", "template": templates[label]}
                for i, label in zip(ids, labels, strict=True)
            ]
        )

    lists = write(root / folder / f"{prefix}train.json", entries(ids[:4], (0, 0, 0, 1)))
    write(root / folder / f"{prefix}validation.json", entries(ids[4:], (0, 1)))
    labels = {"Pushing something onto something": "1", "Holding something": "0"}
    write(root / folder / f"{prefix}labels.json", json.dumps(labels))
    return ids, lists


SOMETHING_NAMES = ("Holding something", "Pushing something onto something")


@miniature_of("ssv2/files")
def ssv2_files(root: Path) -> Miniature:
    ids, lists = _something(root, "lists", "something-something-v2-")
    for video, level in zip(ids, LEVELS, strict=True):
        write_video(root / f"videos/{video}.webm", level)
    return Miniature(
        settings(root / "lists", root / "videos") | NO_FLIP,
        root / f"videos/{ids[0]}.webm",
        Mistake(lists, "Pushing", "Pushing x", r"train\.json, entry 4: 'Pushing x .* Did you mean"),
        SOMETHING_NAMES,
    )


@miniature_of("ssv2/folders")
def ssv2_folders(root: Path) -> Miniature:
    """The newer names, with frames, and the published answers of the test."""
    ids, lists = _something(root, "labels", "")
    for video, level in zip(ids, LEVELS, strict=True):
        write_frames(root / f"frames/{video}", level)
    write(
        root / "labels/test-answers.csv",
        f"{ids[4]};Holding something",
        f"{ids[5]};{SOMETHING_NAMES[1]}",
    )
    return Miniature(
        settings(root, root / "frames") | NO_FLIP | {"DATA.TEST_SPLIT": "test"},
        root / f"frames/{ids[0]}",
        Mistake(lists, '"id": "1100"', '"nr": "1100"', r"train\.json, entry 4: .*1100.* does not"),
        SOMETHING_NAMES,
    )


@miniature_of("ssv2/frame list")
def ssv2_frame_list(root: Path) -> Miniature:
    ids, _ = _something(root, "lists", "something-something-v2-")
    for split, some in (("train", ids[:4]), ("val", ids[4:])):
        lines = ["original_vido_id video_id frame_id path labels"]
        for place, video in enumerate(some):
            write_frames(root / f"frames/{video}", LEVELS[ids.index(video)], video + "_{:06d}.jpg")
            lines += [
                f'{video} {place} {frame} {video}/{video}_{frame + 1:06d}.jpg ""'
                for frame in range(12)
            ]
        write(root / f"lists/{split}.csv", *lines)
    return Miniature(
        settings(root / "lists", root / "frames") | NO_FLIP,
        root / f"frames/{ids[0]}",
        Mistake(
            root / "lists/train.csv",
            "1040/1040_000012.jpg",
            "1041/1040_000012.jpg",
            r"train\.csv, line 2: video 1040 has frames in 2 folders",
        ),
        SOMETHING_NAMES,
    )


def _twentybn(root: Path, prefix: str) -> Miniature:
    ids = [str(34000 + level) for level in LEVELS]
    names = ("Drumming Fingers", "Doing other things")
    for video, level in zip(ids, LEVELS, strict=True):
        write_frames(root / f"frames/{video}", level)
    write(root / f"{prefix}-labels.csv", *names)
    lines = [f"{video};{names[label]}" for video, label in zip(ids, LABELS, strict=True)]
    lists = write(root / f"{prefix}-train.csv", *lines[:4])
    write(root / f"{prefix}-validation.csv", *lines[4:])
    write(root / f"{prefix}-test.csv", "7", "8")
    return Miniature(
        settings(root, root / "frames") | NO_FLIP,
        root / f"frames/{ids[0]}",
        Mistake(lists, "Doing other", "Doing", r"train\.csv, line 4: 'Doing things' is not one of"),
        names,
    )


@miniature_of("jester")
def jester(root: Path) -> Miniature:
    return _twentybn(root, "jester-v1")


@miniature_of("ssv1")
def ssv1(root: Path) -> Miniature:
    return _twentybn(root, "something-something-v1")


@miniature_of("diving48")
def diving48(root: Path) -> Miniature:
    names = [f"x_{level:05d}" for level in LEVELS]
    for name, level in zip(names, LEVELS, strict=True):
        write_video(root / f"rgb/{name}.mp4", level)
    entries = [
        {"vid_name": name, "label": label, "start_frame": 0, "end_frame": 12}
        for name, label in zip(names, LABELS, strict=True)
    ]
    lists = write(root / "Diving48_V2_train.json", json.dumps(entries[:4]))
    write(root / "Diving48_V2_test.json", json.dumps(entries[4:]))
    dives = [["Back", f"{number}som", "05Twis", "FREE"] for number in range(48)]
    write(root / "Diving48_vocab.json", json.dumps(dives))
    return Miniature(
        settings(root, root / "rgb", num_classes=48),
        root / "rgb/x_00040.mp4",
        Mistake(lists, '"label": 1', '"label": 48', r"train\.json, entry 4: the label '48'"),
        tuple(f"Back+{number}som+05Twis+FREE" for number in range(48)),
    )


@miniature_of("ucf101")
def ucf101(root: Path) -> Miniature:
    """With the line ends of the official lists, and the class whose files are spelled otherwise."""
    classes = ("Archery", "HandstandPushups")
    videos = [
        f"{classes[label]}/v_{classes[label].replace('stand', 'Stand')}_g{level}_c01.avi"
        for level, label in zip(LEVELS, LABELS, strict=True)
    ]
    for video, level in zip(videos, LEVELS, strict=True):
        write_video(root / "videos" / video.replace("Handstand", "HandStand"), level)
    write(root / "classInd.txt", "1 Archery", "2 HandstandPushups", "", end="\r\n")
    train = [f"{video} {label + 1}" for video, label in zip(videos[:4], LABELS[:4], strict=True)]
    lists = write(root / "trainlist01.txt", *train, end="\r\n")
    write(root / "testlist01.txt", *videos[4:], end="\r\n")
    return Miniature(
        settings(root, root / "videos"),
        root / "videos" / videos[0],
        Mistake(lists, "c01.avi 2", "c01.avi 1", r"trainlist01\.txt, line 4: the class 1 is not"),
        classes,
    )


@miniature_of("hmdb51")
def hmdb51(root: Path) -> Miniature:
    classes = ("kick", "kick_ball")  # the other way round as names of files
    for level, label in zip(LEVELS, LABELS, strict=True):
        write_video(root / f"videos/{classes[label]}/{level:03d}#_1.avi", level)
    splits = root / "testTrainMulti_7030_splits"
    marks = ["040#_1.avi 1 ", "060#_1.avi 1 ", "080#_1.avi 1 ", "081#_1.avi 0 ", "160#_1.avi 2 "]
    write(splits / "kick_test_split2.txt", *marks)
    lists = write(splits / "kick_ball_test_split2.txt", "100#_1.avi 1 ", "190#_1.avi 2 ")
    return Miniature(
        settings(root, root / "videos") | {"DATA.SPLIT": 2},
        root / "videos/kick/040#_1.avi",
        Mistake(lists, "avi 1", "avi 3", r"kick_ball_test_split2\.txt, line 1: '100#_1\.avi 3'"),
        classes,
    )
