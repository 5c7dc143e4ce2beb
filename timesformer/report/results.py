"""What a test left behind, read and checked."""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from timesformer.errors import UserError
from timesformer.evaluation.ensemble import probabilities
from timesformer.evaluation.metrics import label_rank
from timesformer.report.history import History, read_history
from timesformer.report.settings import Settings, read_settings
from timesformer.report.statistics import Floats, Ints

NEEDED = ("videos", "labels", "scores", "predictions")


@dataclass(frozen=True, eq=False)
class TestedRun:
    """The files of one OUTPUT_DIR. n videos, K classes, V views.

    Attributes:
        folder: OUTPUT_DIR.
        file: the predictions.
        videos: the path of each, (n,).
        labels: int64 (n,).
        scores: float32 (n, K), of all views together; NaN for a video that could not be read.
        predictions: int64 (n,), -1 for such a video.
        class_names: (K,).
        view_predictions: int64 (n, V), of each view alone, temporal view major; None in files of
            older versions.
        spans: float64 (n, 2), seconds of each clip inside its file, as of a `VideoList`; None where
            every file is one clip, and in files of older versions.
        backward: bool (n,), which were played from the last frame to the first; None likewise.
        failures: the reason for each path that could not be read, as far as it was filed.
    """

    __test__ = False  # pytest would take the name for a test

    folder: Path
    file: Path
    videos: list[str]
    labels: Ints
    scores: npt.NDArray[np.float32]
    predictions: Ints
    class_names: list[str]
    view_predictions: Ints | None
    spans: Floats | None
    backward: npt.NDArray[np.bool_] | None
    failures: Mapping[str, str]
    settings: Settings
    history: History

    @property
    def name(self) -> str:
        return self.folder.resolve().name or str(self.folder)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def num_views(self) -> int | None:
        """V; None where no file tells it."""
        if self.view_predictions is not None:
            return self.view_predictions.shape[1]
        if isinstance(noted := self.history.test.get("num_views"), int):
            return noted
        if self.settings.file is None:
            return None
        clips, crops = "TEST.NUM_ENSEMBLE_VIEWS", "TEST.NUM_SPATIAL_CROPS"
        return int(self.settings.get(clips) * self.settings.get(crops))

    @property
    def num_crops(self) -> int:
        """Crops of each temporal view; 1 where no file tells it."""
        if self.settings.file is None:
            return 1
        return int(self.settings.get("TEST.NUM_SPATIAL_CROPS"))

    @cached_property
    def is_read(self) -> npt.NDArray[np.bool_]:
        return self.predictions >= 0

    @cached_property
    def is_right(self) -> npt.NDArray[np.bool_]:
        return self.predictions == self.labels

    @cached_property
    def ranks(self) -> Ints:
        """int64 (n,), how many classes stand before the right one; 0 for a correct top-1."""
        return label_rank(torch.from_numpy(self.scores), torch.from_numpy(self.labels)).numpy()

    @cached_property
    def probabilities(self) -> Floats | None:
        """float64 (n, K), NaN as the scores are; None where no file tells V."""
        if self.num_views is None:
            return None
        scores, method = torch.from_numpy(self.scores), self.settings.get("DATA.ENSEMBLE_METHOD")
        return probabilities(scores.double(), method, self.num_views).numpy()

    @property
    def date(self) -> datetime:
        """When the predictions were written, by the clock of this place."""
        return datetime.fromtimestamp(self.file.stat().st_mtime)


def read_run(folder: Path, predictions: Path | None = None) -> TestedRun:
    """All that a report is made of.

    Args:
        folder: OUTPUT_DIR of a run that has tested.
        predictions: where the predictions lie, if not where the run's config says.

    Raises:
        UserError: there are no predictions, or a file is broken.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}. Name the OUTPUT_DIR of a run.")
    settings = read_settings(folder)
    file = predictions or find_predictions(folder, settings)
    arrays = read_arrays(file)
    check_arrays(arrays, file)
    num_classes = arrays["scores"].shape[1]
    names = arrays.get("class_names", np.arange(num_classes))
    return TestedRun(
        folder=folder,
        file=file,
        videos=arrays["videos"].tolist(),
        labels=arrays["labels"],
        scores=arrays["scores"],
        predictions=arrays["predictions"],
        class_names=[str(name) for name in names],
        view_predictions=arrays.get("view_predictions"),
        spans=arrays.get("spans"),
        backward=arrays.get("backward"),
        failures=read_failures(folder / "failed_videos.csv"),
        settings=settings,
        history=read_history(folder / "metrics.jsonl"),
    )


def find_predictions(folder: Path, settings: Settings) -> Path:
    """``predictions.npz``, or what TEST.SAVE_RESULTS_PATH names instead."""
    file = folder / "predictions.npz"
    named = settings.get("TEST.SAVE_RESULTS_PATH")
    if named and Path(named).is_file():
        return Path(named)
    if file.is_file():
        return file
    raise UserError(
        f"{folder} holds no predictions.npz, which a test writes. Test the run first: "
        "python tools/run_net.py --cfg FILE TRAIN.ENABLE False TEST.ENABLE True OUTPUT_DIR "
        f"{folder}"
    )


def read_arrays(file: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with file.open("rb") as stream:
            archive = np.load(stream)
            if isinstance(archive, np.lib.npyio.NpzFile):
                return {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"the predictions {file} cannot be read ({error}). Test again.") from error
    raise UserError(f"{file} is a single array, not the predictions of a test.")


def check_arrays(arrays: Mapping[str, npt.NDArray[Any]], file: Path) -> None:
    """UserError where the arrays are not those of one test."""
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        raise UserError(f"{file} holds no {missing[0]}, so it is not the predictions of a test.")
    count = len(arrays["videos"])
    num_classes = arrays["scores"].shape[-1] if arrays["scores"].ndim == 2 else 0
    rows = [name for name in ("scores", "view_predictions") if name in arrays]
    fits = num_classes > 0 and all(
        [
            *(arrays[name].shape == (count,) for name in ("labels", "predictions")),
            *(arrays[name].ndim == 2 and len(arrays[name]) == count for name in rows),
            arrays.get("view_predictions", arrays["scores"]).shape[-1] > 0,
            arrays.get("spans", np.zeros((count, 2))).shape == (count, 2),
            arrays.get("backward", np.zeros(count)).shape == (count,),
            len(arrays.get("class_names", range(num_classes))) == num_classes,
        ]
    )
    if not fits:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise UserError(f"{file}: the arrays do not fit each other ({shapes}). Test again.")
    if count == 0:
        raise UserError(f"{file} holds no videos, so there is nothing to report.")
    for name, lowest in (("labels", 0), ("predictions", -1)):
        if arrays[name].min() < lowest or arrays[name].max() >= num_classes:
            raise UserError(
                f"{file}: {name} holds a number that is no class; they are 0 to {num_classes - 1}."
            )


def read_failures(file: Path) -> dict[str, str]:
    """Path and reason of each line; nothing where there is no such file."""
    if not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8", errors="surrogateescape") as text:
        rows = [(row[0], row[1]) for row in csv.reader(text) if len(row) == 2]
    return dict(rows[1:])
