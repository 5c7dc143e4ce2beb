from pathlib import Path

import av
import numpy as np
import pytest

from tests.inference.made import train
from timesformer import Predictor
from timesformer.datasets.decode import decode_all


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def predictor(run: Path) -> Predictor:
    return Predictor(run, overrides=["DATA_LOADER.NUM_WORKERS", "0"])


@pytest.fixture(scope="session")
def clips(run: Path) -> list[Path]:
    return sorted((run.parent / "shapes" / "videos" / "test").iterdir())


@pytest.fixture(scope="session")
def long_video(clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2.4 seconds, three clips."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = 64, 72, "yuv420p"
        for picture in np.concatenate([decode_all(str(clip)) for clip in clips[:3]]):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
