"""Features of many videos, computed once, and what they say of each other.

n videos, D width of the features, K classes.
"""

from __future__ import annotations

import json
import logging
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from timesformer.annotations.table import VideoList
from timesformer.checkpoints.atomic import writing
from timesformer.datasets.build import read_list, video_dataset
from timesformer.datasets.video import EvaluationViews
from timesformer.errors import UserError
from timesformer.progress import progress

if TYPE_CHECKING:
    from timesformer.inference.kept import KeptRows
    from timesformer.inference.load import Trained
    from timesformer.inference.predictor import Predictor

log = logging.getLogger("timesformer")

UNKNOWN = -1
NEIGHBOURS = 5  # that vote
AT_ONCE = 1024  # videos that are compared with all others


@dataclass(frozen=True)
class Features:
    """What a model makes of videos, without those that could not be read.

    Attributes:
        videos: n paths.
        values: float32 (n, D).
        labels: int64 (n,), `UNKNOWN` where nobody says.
        spans: float64 (n, 2), as in `VideoList`, or None.
    """

    videos: list[str]
    values: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    spans: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def directions(self) -> npt.NDArray[np.float32]:
        """Of length 1, so that products are cosines."""
        lengths = np.linalg.norm(self.values, axis=1, keepdims=True)
        return self.values / np.maximum(lengths, np.finfo(np.float32).tiny)


def features_of(predictor: Predictor, split: str, file: str | None, out: Path) -> Features:
    """Read from `file` if there is one, else computed of a split of the data, and kept in `out`."""
    if file is not None:
        return load_features(Path(file), predictor.trained, split)
    from timesformer.inference.kept import settings_of

    features = compute_features(predictor, split, out)
    save_features(out, features, settings_of(predictor.trained, "cls"))
    return features


def compute_features(predictor: Predictor, split: str, out: Path) -> Features:
    """Of each video of a split, by the views of the test; continues what was interrupted.

    Args:
        out: the file that they are for; beside it is kept what is done.

    Raises:
        UserError: the lists cannot be read, or none of the videos.
        KeyboardInterrupt: with words on how to go on.
    """
    from timesformer.inference.kept import KeptRows, settings_of

    cfg = predictor.trained.cfg
    name = cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET
    videos = read_list(name, cfg, split)
    with KeptRows(out, settings_of(predictor.trained, "cls"), videos) as kept:
        gather(predictor, name, videos, kept)
        if not kept.done:
            raise UserError("None of the videos can be read: there are no features.")
        values = np.array(kept.values())
        known = videos.select(np.array(kept.done))
        kept.discard()
    return Features(list(known.paths), values, known.labels, known.spans)


def gather(predictor: Predictor, name: str, videos: VideoList, kept: KeptRows) -> None:
    """Add the features of those that are not there yet."""
    waiting = kept.waiting
    rest = videos.select(np.array(waiting, dtype=np.int64))
    dataset = video_dataset(name, predictor.trained.cfg, "test", rest)
    assert isinstance(dataset, EvaluationViews)
    with progress(len(videos), "features") as bar:
        bar.update(len(videos) - len(waiting))
        for outcome in predictor.outcomes(dataset, "cls") if waiting else ():
            if outcome.values is None:
                log.warning("without %s: %s", outcome.path, outcome.reason)
            else:
                kept.add(waiting[outcome.index], outcome.values)
            bar.update()


def save_features(path: Path, features: Features, settings: dict[str, Any]) -> None:
    """As tools/predict.py does, with ``labels`` and, where there are any, ``spans``."""
    arrays = {"videos": np.array(features.videos, dtype=np.str_), "features": features.values}
    arrays |= {"labels": features.labels, "settings": np.array(json.dumps(settings))}
    if features.spans is not None:
        arrays["spans"] = features.spans
    with writing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load_features(path: Path, trained: Trained, split: str) -> Features:
    """Of a file that `save_features` or tools/predict.py --features cls wrote.

    Where it has no labels, they are those that the list of `split` has for the same paths.

    Raises:
        UserError: it cannot be read, holds something else, or features of another checkpoint.
    """
    arrays = arrays_in(path)
    check_arrays(path, arrays, num_classes=len(trained.class_names))
    check_origin(path, arrays.get("settings"), trained)
    videos = [str(video) for video in arrays["videos"]]
    labels = arrays.get("labels")
    if labels is None:
        labels = labels_in_list(videos, trained, split)
    values = arrays["features"].astype(np.float32, copy=False)
    return Features(videos, values, labels.astype(np.int64, copy=False), arrays.get("spans"))


def arrays_in(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("it is a single array, as in a .npy file")
        with file:
            return dict(file)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"'{path}' cannot be read as an npz of features ({error}).") from error


def check_arrays(path: Path, arrays: dict[str, npt.NDArray[Any]], num_classes: int) -> None:
    """UserError if they are not `Features` of `num_classes` classes, as they are written."""
    if not {"videos", "features"} <= arrays.keys() or arrays["features"].ndim != 2:
        raise UserError(
            f"'{path}' holds no features of videos (n, D): write them with tools/predict.py "
            "--features cls --out FILE.npz."
        )
    n, width = arrays["features"].shape
    known = {"videos": ("U", (n,)), "features": ("f", (n, width))}
    known |= {"labels": ("iu", (n,)), "spans": ("f", (n, 2))}
    words = {"U": "text", "f": "floating point", "iu": "integers"}
    for name in known.keys() & arrays.keys():
        array, (kinds, shape) = arrays[name], known[name]
        if array.dtype.kind not in kinds or array.shape != shape:
            raise UserError(
                f"'{path}' holds {name} {array.dtype} {array.shape}, but for {n} features they "
                f"must be {words[kinds]} {shape}."
            )
    if not np.isfinite(arrays["features"]).all():
        raise UserError(f"'{path}' holds features that are not finite numbers.")
    labels = arrays.get("labels", np.zeros(0))
    if not ((labels >= UNKNOWN) & (labels < num_classes)).all():
        raise UserError(
            f"'{path}' holds labels from {labels.min()} to {labels.max()}, but this checkpoint "
            f"knows the classes 0 to {num_classes - 1} ({UNKNOWN} is for an unknown one)."
        )


def check_origin(path: Path, settings: npt.NDArray[Any] | None, trained: Trained) -> None:
    """UserError if the features are of other weights; the log says what else is not the same."""
    from timesformer.inference.kept import changed, settings_of

    if settings is None:
        log.warning("'%s' does not say of which checkpoint its features are", path)
        return
    try:
        then = json.loads(str(settings))
        others = changed(then, settings_of(trained, "cls"))
    except (ValueError, AttributeError) as error:
        raise UserError(f"'{path}' does not say what its features are of ({error}).") from error
    if "set of weights" in others:
        raise UserError(
            f"'{path}' holds features of other weights ({then.get('checkpoint')}) than those of "
            f"{trained.source}: compute them again, without --features."
        )
    if others:
        log.warning("the features in '%s' are of another %s", path, ", another ".join(others))


def labels_in_list(videos: list[str], trained: Trained, split: str) -> npt.NDArray[np.int64]:
    """By where the files are."""
    cfg = trained.cfg
    try:
        known = read_list(cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET, cfg, split)
    except UserError as error:
        log.warning("the classes of the videos are not known: %s", error)
        return np.full(len(videos), UNKNOWN, dtype=np.int64)
    if known.backward is not None:  # the features of a file are of its own direction
        known = known.select(np.flatnonzero(~known.backward))
    pairs = zip(known.paths, known.labels.tolist(), strict=True)
    label_of = {os.path.abspath(path): label for path, label in pairs}
    labels = [label_of.get(os.path.abspath(video), UNKNOWN) for video in videos]
    if unknown := labels.count(UNKNOWN):
        log.warning("the %s list has no class for %d of the videos", split, unknown)
    return np.array(labels, dtype=np.int64)


def predictions(features: Features, trained: Trained) -> npt.NDArray[np.int64]:
    """What the model's head says of the features, int64 (n,).

    Raises:
        UserError: the features are of another model.
    """
    head = head_of(trained.model)
    parameters = list(head.parameters())
    width = parameters[0].shape[1]
    check_width(features, width)
    values = torch.from_numpy(features.values).to(parameters[0])
    with torch.no_grad():
        return head(values).argmax(dim=1).cpu().numpy()


def check_width(features: Features, width: int) -> None:
    if features.values.shape[1] != width:
        raise UserError(
            f"The features have {features.values.shape[1]} numbers for each video, and those of "
            f"this checkpoint {width}: they are of another model."
        )


def head_of(model: nn.Module) -> nn.Module:
    """What reads the features, under its name in all models of this package."""
    names = [name for name, _ in model.named_modules() if name.split(".")[-1] == "head"]
    if not names:
        raise UserError(f"A {type(model).__name__} has no head that reads features.")
    return model.get_submodule(names[0])


def nearest(
    features: Features, direction: npt.NDArray[np.float32], k: int, but: set[int]
) -> list[tuple[int, float]]:
    """The `k` videos whose cosine with `direction` (D,) is the largest, and the cosines.

    Args:
        but: indices of videos that do not count.
    """
    cosines = features.directions @ (direction / np.linalg.norm(direction))
    order = [int(index) for index in np.argsort(-cosines, kind="stable") if int(index) not in but]
    return [(index, float(cosines[index])) for index in order[:k]]


def neighbour_accuracy(features: Features) -> float:
    """Share of the videos of known class whose `NEIGHBOURS` nearest others vote for it.

    Of classes with as many votes, that of the nearest counts. NaN for fewer than two videos.
    """
    known = np.flatnonzero(features.labels != UNKNOWN)
    directions, labels = features.directions[known], features.labels[known]
    if len(known) < 2:
        return float("nan")
    right = 0
    for start in range(0, len(known), AT_ONCE):
        cosines = directions[start : start + AT_ONCE] @ directions.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf  # a video has no vote on itself
        others = min(NEIGHBOURS, len(known) - 1)
        order = torch.from_numpy(cosines).topk(others).indices.numpy()  # the nearest first
        votes = [majority(row.tolist()) for row in labels[order]]
        right += int((np.array(votes) == labels[start : start + AT_ONCE]).sum())
    return right / len(known)


def majority(labels: list[int]) -> int:
    """The most frequent; of equals the first."""
    return max(dict.fromkeys(labels), key=labels.count)
