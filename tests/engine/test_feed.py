"""What counts as the death of a loader's process."""

from __future__ import annotations

import pytest
from torch.utils.data import DataLoader, Dataset

from timesformer.engine.feed import is_death


class Broken(Dataset[int]):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
        RuntimeError("Pin memory thread exited unexpectedly"),
        ConnectionResetError(104, "Connection reset by peer"),
        ConnectionRefusedError(111, "Connection refused"),
        EOFError(),
    ],
    ids=repr,
)
def test_a_death(error: Exception) -> None:
    assert is_death(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("it is broken"), ConnectionResetError("a server hung up"), EOFError()]
)
def test_an_error_that_a_process_tells_of_is_none(error: Exception) -> None:
    with pytest.raises(type(error)) as told:
        list(DataLoader(Broken(error), num_workers=1))
    assert not is_death(told.value)


def test_nor_is_any_other() -> None:
    assert not is_death(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
