"""What holds for every test: randomness does not leak, and a GPU test never passes without one."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any

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


def share_of(nodeid: str) -> str:
    """What one process of a test run takes as a whole: a file, or all that shares a cluster."""
    return "slurm" if nodeid.startswith("tests/slurm/") else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return share_of(nodeid)

    config.option.loadscopereorder = False
    return Scheduler(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For several processes, slow shares come first, so that all end at the same time."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = Counter(share_of(i.nodeid) for i in items if i.get_closest_marker("slow"))
        items.sort(key=lambda item: -slow[share_of(item.nodeid)])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The processes of a test run send each other UTF-8, which names of files need not be."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is None or torch.cuda.is_available():
        return
    if os.environ.get("FAIL_WITHOUT_CUDA") == "1":
        pytest.fail("this test needs CUDA, and FAIL_WITHOUT_CUDA=1 says that there is one")
    pytest.skip("needs CUDA")
