"""The files that a test leaves behind."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor


def write_predictions(path: Path, *, videos: Sequence[str], labels: Tensor, scores: Tensor) -> None:
    """Write an ``.npz`` that `numpy.load` opens without pickle: whole or not at all.

    Its arrays, one row for each video in the order of the list: ``videos`` str (n,), the paths;
    ``labels`` int64 (n,); ``scores`` float32 (n, K), the ensembled scores, NaN for a video that
    could not be read; ``predictions`` int64 (n,), the best class, -1 for such a video.
    """
    readable = ~scores.isnan().any(dim=1)
    predictions = scores.nan_to_num().argmax(dim=1).where(readable, -1)
    temporary = path.with_name(path.name + ".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary.open("wb") as file:
        np.savez_compressed(
            file,
            videos=np.array(list(videos), dtype=np.str_),
            labels=labels.numpy(),
            scores=scores.numpy(),
            predictions=predictions.numpy(),
        )
    os.replace(temporary, path)


def write_failures(path: Path, failures: Iterable[tuple[str, str]]) -> None:
    """Write a csv of the videos that could not be read: ``path,reason``."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "reason"))
        writer.writerows(failures)
