from pathlib import Path

import pytest

from tests.inference.made import train
from timesformer import Predictor


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("inference"))


@pytest.fixture(scope="session")
def predictor(run: Path) -> Predictor:
    return Predictor(run, overrides=["DATA_LOADER.NUM_WORKERS", "0"])


@pytest.fixture(scope="session")
def clips(run: Path) -> list[Path]:
    """The ten videos of the test; their classes take turns."""
    return sorted((run.parent / "shapes" / "videos" / "test").iterdir())
