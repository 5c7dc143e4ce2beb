"""Loader processes, however they are started."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

import pytest
import torch
from torch.utils.data import Dataset

from timesformer.datasets.batch import Item
from timesformer.datasets.loader import build_loader


class Numbers(Dataset[Item]):
    def __getitem__(self, index: int) -> Item:
        return Item(torch.full((1, 3, 1, 2, 2), index, dtype=torch.uint8), index, index)


class Large(Dataset[Item]):
    """Items that take a while to hand over."""

    def __getitem__(self, index: int) -> Item:
        return Item(torch.zeros(1, 3, 8, 1024, 512, dtype=torch.uint8), index, index)


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def start_method(request: pytest.FixtureRequest) -> Iterator[str]:
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(request.param, force=True)
    yield request.param
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.slow
def test_workers_load_whatever_started_them(start_method: str) -> None:
    batches = [[0, 1], [2, 3], [4]]
    loader = build_loader(Numbers(), batches, num_workers=1, pin_memory=False)
    assert [batch.labels.tolist() for batch in loader] == batches


@pytest.mark.slow
def test_workers_end_well_in_the_midst_of_handing_over(start_method: str) -> None:
    loader = build_loader(Large(), [[0], [1], [2]], num_workers=1, pin_memory=False)
    batches = iter(loader)
    next(batches)
    workers = list(batches._workers)
    batches._shutdown_workers()
    assert [worker.exitcode for worker in workers] == [0]
