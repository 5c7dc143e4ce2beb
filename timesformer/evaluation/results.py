"""The files that a test leaves behind."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor


def write_predictions(
    path: Path,
    *,
    videos: Sequence[str],
    spans: npt.NDArray[np.float64] | None,
    backward: npt.NDArray[np.bool_] | None = None,
    labels: Tensor,
    scores: Tensor,
    view_predictions: Tensor,
    class_names: Sequence[str],
) -> None:
    """Write an ``.npz`` that `numpy.load` opens without pickle: whole or not at all.

    Its arrays, one row for each video in the order of the list: ``videos`` str (n,), the paths;
    ``labels`` int64 (n,); ``scores`` float32 (n, K), the ensembled scores, NaN for a video that
    could not be read; ``predictions`` int64 (n,), the best class, -1 for such a video;
    ``view_predictions`` int64 (n, V), the same of each single view, temporal view major.
    ``class_names`` str (K,): the name of each class, or its number where it has none. Where the
    list names parts of videos, ``spans`` float64 (n, 2), and where it plays some of them backward,
    ``backward`` bool (n,): see `VideoList`.
    """
    readable = ~scores.isnan().any(dim=1)
    predictions = scores.nan_to_num().argmax(dim=1).where(readable, -1)
    arrays: dict[str, Any] = {
        "videos": np.array(list(videos), dtype=np.str_),
        "labels": labels.numpy(),
        "scores": scores.numpy(),
        "predictions": predictions.numpy(),
        "view_predictions": view_predictions.numpy(),
        "class_names": np.array(list(class_names), dtype=np.str_),
    }
    for name, values in (("spans", spans), ("backward", backward)):
        if values is not None:
            arrays[name] = values
    temporary = path.with_name(path.name + ".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    os.replace(temporary, path)


def write_class_accuracy(
    path: Path, labels: Tensor, ranks: Tensor, class_names: Sequence[str]
) -> list[str]:
    """Write a csv ``label,name,num_videos,top1_acc,top5_acc`` (%) of the classes that have videos.

    Args:
        labels: int64 (n,).
        ranks: int64 (n,), `label_rank` of each video.
        class_names: by label.

    Returns:
        Words for the three classes of the lowest top-1.
    """
    accuracies = []
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("label", "name", "num_videos", "top1_acc", "top5_acc"))
        for label in labels.unique().tolist():
            own = ranks[labels == label]
            top1, top5 = (100 * (own < k).double().mean().item() for k in (1, 5))
            writer.writerow((label, class_names[label], len(own), f"{top1:.2f}", f"{top5:.2f}"))
            accuracies.append((top1, f"{class_names[label]} {top1:.1f} % of {len(own)}"))
    return [words for _, words in sorted(accuracies)[:3]]


def write_failures(path: Path, failures: Iterable[tuple[str, str]]) -> None:
    """Write a csv of the videos that could not be read: ``path,reason``."""
    # Names of files may hold bytes that are no UTF-8.
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "reason"))
        writer.writerows(failures)
