"""The loader: worker processes that decode, resize and crop; uint8 all the way."""

from __future__ import annotations

import atexit
import os
from functools import partial
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from timesformer.datasets.batch import Batch, collate
from timesformer.signals import obey_parent_alone


def build_loader(
    dataset: Dataset[Any],
    batches: Sampler[Any],
    *,
    num_workers: int,
    pin_memory: bool,
    decode_gpu: int | None = None,
) -> DataLoader[Batch]:
    """Batches of `dataset`, which returns items, in the order of `batches`: lists of requests.

    Workers live as long as the loader; they hold no random state, so their number changes nothing.
    `pin_memory` is for copies to a GPU, and needs one. `decode_gpu` is the one that workers decode
    on: they cannot be forked from a process that has used CUDA, and take seconds to start.
    """
    return DataLoader(
        dataset,
        batch_sampler=batches,
        # Else each start would draw from the global generator, which a step has seeded by then.
        generator=torch.Generator(),
        collate_fn=collate,
        num_workers=num_workers,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
        worker_init_fn=partial(start_worker, decode_gpu),
        multiprocessing_context="spawn" if decode_gpu is not None and num_workers else None,
    )


def start_worker(decode_gpu: int | None, worker: int) -> None:
    """Workers are parallel among themselves; OpenCV's own threads would only get in their way."""
    # PyTorch looks every few seconds, and would take the heir of a parent for the parent. A process
    # that lives on meanwhile holds its parent's sockets open, and others learn nothing of its end.
    obey_parent_alone()
    # As forked ones end. A spawned one would stop the thread that hands over batches in the midst
    # of C++ that lets no thread be stopped: "terminate called without an active exception".
    atexit.register(os._exit, 0)
    cv2.setNumThreads(0)
    if decode_gpu is not None:
        torch.cuda.set_device(decode_gpu)
