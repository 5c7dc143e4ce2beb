"""Copies of a state that goes on changing."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

Place = tuple[object, ...]  # the names that lead to a tensor in nested dicts and lists
Room = Callable[[Place, Tensor], Tensor]


class Snapshot:
    """Copies trees of tensors into buffers of the host that are allocated once.

    One thread begins a copy and waits for it, another takes it. GPU tensors are those of the
    current device; they travel on a stream of their own into page-locked memory.
    """

    def __init__(self) -> None:
        self._buffers: dict[Place, Tensor] = {}
        self._issued = threading.Event()
        self._issued.set()
        self._device: int | None = None
        self._stream: torch.cuda.Stream | None = None
        self._begun: torch.cuda.Event | None = None
        self._copied: torch.cuda.Event | None = None

    def begin(self) -> None:
        """From here to `wait` the tensors hold the values to be copied. The last copy is over."""
        self._issued.clear()
        if torch.cuda.is_initialized():
            self._device = torch.cuda.current_device()
            self._begun = torch.cuda.current_stream().record_event()

    def wait(self) -> None:
        """Until the tensors may change; a GPU's host does not wait for the GPU."""
        self._issued.wait()
        if self._copied is not None:
            torch.cuda.current_stream().wait_event(self._copied)
            self._copied = None

    @torch.no_grad()
    def take(self, tree: Any) -> Any:
        """`tree` with copies for its tensors; they are overwritten by the next `take`."""
        try:
            if self._device is None:
                return with_tensors(tree, self._copy)
            with torch.cuda.device(self._device):
                return self._take_from_gpu(tree)
        finally:
            self._issued.set()

    def _take_from_gpu(self, tree: Any) -> Any:
        assert self._begun is not None
        self._stream = self._stream or torch.cuda.Stream()
        self._stream.wait_event(self._begun)
        with torch.cuda.stream(self._stream):
            copies = with_tensors(tree, self._copy)
        copied = self._stream.record_event()
        self._copied = copied
        self._issued.set()
        copied.synchronize()
        return copies

    def _copy(self, place: Place, tensor: Tensor) -> Tensor:
        buffer = self._buffers.get(place)
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            buffer = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
            self._buffers[place] = buffer
        return buffer.copy_(tensor, non_blocking=True)


def with_tensors(tree: Any, function: Callable[[Place, Tensor], Tensor], place: Place = ()) -> Any:
    """A copy of nested dicts, lists and tuples in which `function` gives the tensors."""
    if isinstance(tree, Tensor):
        return function(place, tree)
    if isinstance(tree, dict):
        twin = copy.copy(tree)  # with its class, and what a state dict carries beside its tensors
        for name, value in tree.items():
            twin[name] = with_tensors(value, function, (*place, name))
        return twin
    if isinstance(tree, (list, tuple)):
        return type(tree)(
            with_tensors(value, function, (*place, index)) for index, value in enumerate(tree)
        )
    return tree


def frozen(tree: Any, changing: Iterable[Tensor]) -> Any:
    """A copy of the dicts and lists of `tree`, and of those tensors that share memory with one of
    `changing`; the others are the same.
    """
    memory = {tensor.untyped_storage().data_ptr() for tensor in changing}

    def keep(_: Place, tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() in memory:
            return tensor.detach().clone()
        return tensor

    return with_tensors(tree, keep)


def on_cpu(_: Place, tensor: Tensor) -> Tensor:
    """A whole tensor like `tensor`, on the CPU and without values."""
    return torch.empty(tensor.shape, dtype=tensor.dtype)
