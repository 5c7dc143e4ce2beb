"""The next batch comes to the device while the model works on this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch

from timesformer.datasets.batch import Batch


def prefetch(
    batches: Iterable[Batch],
    device: torch.device,
    transform: Callable[[Batch], Batch] | None = None,
) -> Iterator[Batch]:
    """The batches in their order, on `device`, each `transform`ed there.

    On a GPU a second stream copies (without waiting, where the loader pinned the memory) and
    transforms batch k + 1 before batch k is handed out, so that the device does both beside the
    work on batch k. The price is the memory of one more batch, in uint8. What `transform` waits
    for it waits for on that stream alone, not on the work of the model.
    """
    # At once, not with the first batch: the workers begin while the caller prepares.
    coming = iter(batches)
    if device.type == "cuda":
        return ahead_of_use(coming, device, transform)
    return (transform(batch) if transform else batch for batch in coming)


def ahead_of_use(
    batches: Iterator[Batch],
    device: torch.device,
    transform: Callable[[Batch], Batch] | None,
) -> Iterator[Batch]:
    """On a GPU: batch k + 1 is on its way when batch k is handed out."""
    stream = torch.cuda.Stream(device, priority=-1)  # short kernels, which need not queue
    ahead: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(stream):
            batch = batch.to(device)
            batch = transform(batch) if transform else batch
            following = batch, stream.record_event()
        if ahead is not None:
            yield received(*ahead)
        ahead = following
    if ahead is not None:
        yield received(*ahead)


def received(batch: Batch, ready: torch.cuda.Event) -> Batch:
    """The batch, for the current stream to work on: it waits for `ready`, the host does not."""
    stream = torch.cuda.current_stream(batch.views.device)
    stream.wait_event(ready)
    for tensor in (batch.views, batch.labels, batch.weights):
        # The memory is the other stream's, which must not have it back before this one is done.
        tensor.record_stream(stream)
    return batch
