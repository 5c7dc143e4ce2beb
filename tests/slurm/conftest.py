from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from timesformer.datasets.motion_shapes import ensure_motion_shapes


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    # Not pytest's folder: the paths of its sockets have to be short.
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder:
        cluster = Cluster(Path(folder), num_nodes=6)
        yield cluster
        cluster.stop()


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """21 training, 6 validation and 10 test clips: no multiple of a batch or a process count."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    ensure_motion_shapes(folder, num_train=21, num_val=6, num_test=10)
    return folder
