"""From the words of a command line to the lists of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from yacs.config import CfgNode

from timesformer.annotations.csv_list import read_video_list
from timesformer.annotations.table import SPLITS, VideoList
from timesformer.config import load_config
from timesformer.config.load import pair_up
from timesformer.datasets.lists import REPLACED_BY_LISTS, SEGMENTED, chosen_videos
from timesformer.errors import UserError
from timesformer.preparation.lists import DataSet


def choose(words: Sequence[str], cfg_path: str | None, splits: str) -> DataSet:
    """The data set that a command names.

    Args:
        words: csv files, or the name of a registered data set, which may be missing where there is
            a config; then KEY VALUE pairs.
        cfg_path: YAML file, or None.
        splits: which to read, ``train,val``; csv files are read as they are.

    Raises:
        UserError: nothing named, an unknown name or key, or lists that cannot be read.
    """
    named = next((i for i, word in enumerate(words) if _is_key(word)), len(words))
    names, opts = words[:named], words[named:]
    cfg = load_config(cfg_path, opts)
    told = cfg_path is not None or "MODEL.NUM_CLASSES" in dict(pair_up(opts))
    of_videos = told and not cfg.DATA.ARROW_OF_TIME  # which are prepared once, with their classes
    num_classes = cfg.MODEL.NUM_CLASSES if of_videos else None
    wanted = _splits(splits)
    if names and all(name.endswith(".csv") for name in names):
        return _csv_files(names, cfg, num_classes)
    if len(names) > 1 or not (names or cfg_path):
        said = f"'{' '.join(names)}'" if names else "The command"
        raise UserError(
            f"{said} names no data set: give the name of one (ucf101, video_csv, …), csv files, or "
            "a config with --cfg; then KEY VALUE pairs."
        )
    return _registered(names[0] if names else cfg.TRAIN.DATASET, cfg, num_classes, wanted)


def _is_key(word: str) -> bool:
    section, dot, name = word.partition(".")
    return bool(dot) and word.isupper() and section.isidentifier() and name.isidentifier()


def _csv_files(names: Sequence[str], cfg: CfgNode, num_classes: int | None) -> DataSet:
    lists: dict[str, VideoList] = {}
    for name in names:
        split = Path(name).stem
        if split in lists:
            raise UserError(f"two of the lists are named {split}.csv: rename one.")
        if not Path(name).is_file():
            raise UserError(f"there is no list '{name}'.")
        lists[split] = read_video_list(name, path_prefix=cfg.DATA.PATH_PREFIX)
    return DataSet(lists, num_classes or _named(lists), cfg.DATA.FRAMES_FPS)


def _registered(name: str, cfg: CfgNode, num_classes: int | None, splits: Sequence[str]) -> DataSet:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.NUM_CLASSES = None  # any: a label outside is for a check to report, with all others
    lists = {split: chosen_videos(name, cfg, split) for split in splits}
    own_name = name if name in REPLACED_BY_LISTS else "video_csv"
    keys = ("DATA.SAMPLING", "segments") if name in SEGMENTED else ()
    return DataSet(lists, num_classes or _named(lists), cfg.DATA.FRAMES_FPS, own_name, keys)


def _named(lists: Mapping[str, VideoList]) -> int | None:
    """The number of classes that have a name; None where none has."""
    return max(len(videos.class_names) for videos in lists.values()) or None


def _splits(text: str) -> tuple[str, ...]:
    splits = tuple(dict.fromkeys(text.replace(",", " ").split()))
    if not splits or set(splits) - set(SPLITS):
        raise UserError(f"--splits is '{text}'; it must be some of {','.join(SPLITS)}.")
    return splits
