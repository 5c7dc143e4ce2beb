"""The loader: worker processes that decode, resize and crop; uint8 all the way."""

from __future__ import annotations

from typing import Any

import cv2
from torch.utils.data import DataLoader, Dataset, Sampler

from timesformer.datasets.batch import Batch, collate


def build_loader(
    dataset: Dataset[Any],
    batches: Sampler[Any],
    *,
    num_workers: int,
    pin_memory: bool,
) -> DataLoader[Batch]:
    """Batches of `dataset`, which returns items, in the order of `batches`: lists of requests.

    Workers live as long as the loader; they hold no random state, so their number changes nothing.
    `pin_memory` is for copies to a GPU, and needs one.
    """
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=num_workers,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
        worker_init_fn=one_thread,
    )


def one_thread(worker: int) -> None:
    """Workers are parallel among themselves; OpenCV's own threads would only get in their way."""
    cv2.setNumThreads(0)
