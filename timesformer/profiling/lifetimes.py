"""How much memory tensors take at every moment, told by the lives of their storages."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

PARTS = ("inputs", "activations", "gradients", "workspace")


class Lifetimes(TorchDispatchMode):
    """Within it, counts the bytes of all tensors that are made there and are not yet forgotten.

    A storage counts once, from the operator that makes it until nothing refers to it, and belongs
    to the `part` that was set when it was made. What an operator needs only while it runs is not
    seen. It makes no difference whether tensors are real or fake.

    Args:
        clips: a number that divides the size of those storages alone that grow with the number of
            clips; they are counted for one clip, the others apart. A large prime does.
        besides: tensors that live longer and do not count, nor do views of them.
        quantum: bytes are handed out in multiples of it.
        hidden: what an operator needs while it runs; bytes from the operator and its arguments.
    """

    def __init__(
        self,
        clips: int,
        *,
        besides: Iterable[Tensor] = (),
        quantum: int = 1,
        hidden: Callable[[Any, tuple[Any, ...]], int] | None = None,
    ) -> None:
        super().__init__()
        self.clips = clips
        self.besides = {tensor.untyped_storage()._cdata for tensor in besides}
        self.quantum = quantum
        self.hidden = hidden
        self.part = PARTS[0]
        self.living = np.zeros((len(PARTS), 2), dtype=np.int64)
        self.seen: list[np.ndarray] = []
        self.storages: dict[int, tuple[weakref.ref[torch.UntypedStorage], str]] = {}

    def moments(self) -> np.ndarray:
        """(M, parts, 2): bytes that do not depend on the clips, and bytes of a clip."""
        return np.stack(self.seen)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.prim.device.default and isinstance(args[0], FakeTensor):
            return args[0].fake_device  # asked for so often that the way round costs half the time
        outcome = func(*args, **(kwargs or {}))
        new = [self.add(tensor) for tensor in tensors_in(outcome)]
        if any(new):
            self.remember(self.hidden(func, args) if self.hidden else 0)
        return outcome

    def add(self, tensor: Tensor) -> bool:
        """Whether the tensor's storage is a new one."""
        storage = tensor.untyped_storage()
        address, part = storage._cdata, self.part
        if address in self.storages or address in self.besides:
            return False
        size = self.size(storage.nbytes())

        def forget(_: object) -> None:
            _, last_part = self.storages.pop(address)
            self.living[PARTS.index(last_part)] -= size

        self.storages[address] = weakref.ref(storage, forget), part
        self.living[PARTS.index(part)] += size
        return True

    def size(self, nbytes: int) -> np.ndarray:
        if nbytes % self.clips == 0:
            return np.array([0, nbytes // self.clips])
        return np.array([-(-nbytes // self.quantum) * self.quantum, 0])

    def move(self, tensor: Tensor, part: str) -> None:
        """Let the tensor's storage, which must be known, belong to another part."""
        storage = tensor.untyped_storage()
        reference, former = self.storages[storage._cdata]
        size = self.size(storage.nbytes())
        self.living[PARTS.index(former)] -= size
        self.living[PARTS.index(part)] += size
        self.storages[storage._cdata] = reference, part

    def keep(self, nbytes: int, part: str) -> None:
        """Count bytes to the end that are no tensor's."""
        self.living[PARTS.index(part), 0] += nbytes

    def remember(self, hidden: int = 0) -> None:
        """Note this moment, in which `hidden` bytes more are needed."""
        moment = self.living.copy()
        moment[PARTS.index("workspace")] += self.size(hidden)
        self.seen.append(moment)


def tensors_in(outcome: Any) -> Iterator[Tensor]:
    if isinstance(outcome, Tensor):
        yield outcome
    elif isinstance(outcome, list | tuple):
        for part in outcome:
            yield from tensors_in(part)
