from pathlib import Path

import pytest

from timesformer.datasets.motion_shapes import ensure_motion_shapes


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """21 training, 6 validation and 10 test clips: no multiple of a batch or a process count."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    ensure_motion_shapes(folder, num_train=21, num_val=6, num_test=10)
    return folder
