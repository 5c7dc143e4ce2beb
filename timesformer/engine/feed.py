"""The batches of an epoch, whatever becomes of the processes that load them."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from timesformer.datasets.batch import Batch
from timesformer.datasets.prefetch import prefetch
from timesformer.datasets.sampler import EvalSampler, TrainSampler
from timesformer.errors import UserError
from timesformer.signals import blocked

log = logging.getLogger("timesformer")

MAX_DEATHS_IN_AN_EPOCH = 5

# How PyTorch says it; the second is what becomes of it where batches are page-locked.
DEATHS = ("DataLoader worker", "Pin memory thread exited")


@contextmanager
def deaths_wait_for_the_next_batch() -> Iterator[None]:
    """For starting a loader: its processes' deaths are raised by the next batch, and not before.

    PyTorch, once it has started a loader, raises them out of whatever line the main process is at,
    in the middle of a step.
    """
    before = signal.getsignal(signal.SIGCHLD)
    yield
    if threading.current_thread() is threading.main_thread():  # else nobody can set handlers
        is_pytorchs = getattr(before, "__module__", "") == signal_handling.__name__
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if is_pytorchs else before)


@dataclass
class Feed:
    """One pass after the other, on the device, from where it was told to start.

    A loader process that dies (of too little memory, as a rule) costs the batches that were being
    made. They are made again by new processes: what a batch holds depends on its place alone.
    """

    new_loader: Callable[[], DataLoader[Batch]]
    sampler: TrainSampler | EvalSampler
    device: torch.device
    transform: Callable[[Batch], Batch] | None = None
    _loader: DataLoader[Batch] | None = None
    _batches: Iterator[Batch] = field(default_factory=lambda: iter(()))
    _taken: int = 0  # samples of the order that have been handed out
    _deaths: int = 0

    def __len__(self) -> int:
        """Passes from where it was started."""
        return len(self.sampler)

    def start(self, epoch: int = 0, first: int = 0) -> None:
        """Go to sample `first` of the order of `epoch`."""
        self._deaths = 0
        self._go_to(epoch, first)

    def next(self) -> Batch:
        """The next pass.

        Raises:
            UserError: loader processes keep dying.
        """
        while True:
            try:
                batch = next(self._batches)
            except (RuntimeError, ConnectionError, EOFError) as error:
                self._bury(error)
            else:
                self._taken += self.sampler.per_pass
                return batch
            self._go_to(self.sampler.epoch, self._taken)

    def _go_to(self, epoch: int, first: int) -> None:
        self._taken = first
        self.sampler.go_to(epoch, first)
        while True:
            try:
                self._batches = self._opened()
            except RuntimeError as error:
                self._bury(error)
            else:
                return

    def _opened(self) -> Iterator[Batch]:
        if self._loader is None:
            self._loader = self.new_loader()
        with deaths_wait_for_the_next_batch(), blocked():
            return prefetch(self._loader, self.device, self.transform)

    def _bury(self, error: Exception) -> None:
        """Forget the loader if it is its processes that have died."""
        if not is_death(error):
            raise error
        self._loader = None
        self._deaths += 1
        reason = (str(error) or repr(error)).splitlines()[0].strip()
        if self._deaths > MAX_DEATHS_IN_AN_EPOCH:
            raise UserError(
                f"loader processes died {self._deaths} times in this epoch, now: {reason}. The "
                "usual reason is too little memory, or too little of it in /dev/shm: use fewer "
                "DATA_LOADER.NUM_WORKERS, or a smaller TRAIN.BATCH_SIZE."
            ) from error
        log.warning("a loader process died; its batches are loaded again: %s", reason)


def is_death(error: Exception) -> bool:
    """Whether processes of the loader have died; an error of their own is none."""
    told = str(error)
    if told.startswith("Caught "):  # so PyTorch begins what a process has told of
        return False
    # It may die while the tensors of a batch are being fetched from it.
    return isinstance(error, ConnectionError | EOFError) or any(words in told for words in DEATHS)
