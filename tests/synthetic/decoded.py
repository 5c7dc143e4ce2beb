"""What is in a video file."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def decode(path: Path) -> np.ndarray:
    """RGB ``(T, H, W, 3)``."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
