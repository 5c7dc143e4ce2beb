"""Batches on their way to the device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from timesformer.datasets.batch import Batch, Item, collate
from timesformer.datasets.prefetch import prefetch

CPU = torch.device("cpu")


def batches(count: int, side: int = 4) -> list[Batch]:
    """Batch i shows nothing but i, and has label i."""
    views = [torch.full((1, 3, 2, side, side), i, dtype=torch.uint8) for i in range(count)]
    return [collate([Item(clip, label=i, index=i)]) for i, clip in enumerate(views)]


def doubled(batch: Batch) -> Batch:
    batch.views.mul_(2)
    return batch


def test_on_the_cpu_batches_pass_one_by_one() -> None:
    asked: list[int] = []

    def loader() -> Iterator[Batch]:
        for i, batch in enumerate(batches(3)):
            asked.append(i)
            yield batch

    coming = prefetch(loader(), CPU)
    assert asked == []
    assert next(coming).labels.tolist() == [0]
    assert asked == [0], "a synchronous loader is not made to wait"
    assert [batch.labels.item() for batch in coming] == [1, 2]
    assert list(prefetch([], CPU)) == []


def test_a_loader_starts_at_once() -> None:
    """It draws its seed from the global generator, which a step sets for itself later."""
    loader = torch.utils.data.DataLoader(batches(2), batch_size=None)
    torch.manual_seed(0)
    coming = prefetch(loader, CPU)
    before = torch.get_rng_state()
    assert len(list(coming)) == 2
    assert torch.equal(torch.get_rng_state(), before)


def test_each_batch_is_transformed_once() -> None:
    seen = [int(batch.views.max()) for batch in prefetch(batches(4), CPU, doubled)]
    assert seen == [0, 2, 4, 6]


def test_the_loaders_error_comes_through() -> None:
    def failing() -> Iterator[Batch]:
        yield batches(1)[0]
        raise OSError("gone")

    coming = prefetch(failing(), CPU)
    next(coming)
    with pytest.raises(OSError, match="gone"):
        next(coming)


@pytest.mark.gpu
def test_a_gpu_works_on_what_the_loader_gave() -> None:
    """Large batches, and work on each that takes longer than the copy of the next: a batch that
    was read too early, or whose memory was given away too early, would show."""
    device = torch.device("cuda")
    load = torch.rand(2048, 2048, device=device)
    pinned = [batch.pin_memory() for batch in batches(60, side=1024)]
    results = []
    for batch in prefetch(pinned, device, doubled):
        assert batch.views.device.type == batch.labels.device.type == "cuda"
        assert batch.indices.device.type == "cpu"
        for _ in range(20):
            load = load @ load / load.norm()
        results.append((batch.views.amin(), batch.views.amax(), batch.labels[0]))
    values = torch.tensor([[int(value) for value in row] for row in results])
    expected = torch.arange(60)
    assert torch.equal(values, torch.stack([2 * expected, 2 * expected, expected], dim=1))
