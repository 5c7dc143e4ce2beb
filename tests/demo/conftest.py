from pathlib import Path

import av
import numpy as np
import pytest

from tests.inference.conftest import clips, predictor, run
from timesformer.datasets.decode import decode_all

__all__ = ["clips", "long_video", "predictor", "run"]


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
