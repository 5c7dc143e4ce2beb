"""What holds for every test: randomness does not leak, and a GPU test never passes without one."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

# One thread: on a small machine that several processes share, threads that wait for each other cost
# ten times what they save; and sums come out the same in every process. Before torch is imported,
# which reads it once.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _restore_random_state() -> Iterator[None]:
    """A test may seed or draw as it likes: the next one finds the generators as this one did."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(python_state)
    np.random.set_state(numpy_state)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is None or torch.cuda.is_available():
        return
    if os.environ.get("FAIL_WITHOUT_CUDA") == "1":
        pytest.fail("this test needs CUDA, and FAIL_WITHOUT_CUDA=1 says that there is one")
    pytest.skip("needs CUDA")
