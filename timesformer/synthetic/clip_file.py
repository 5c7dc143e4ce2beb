"""From frames to a small H.264 file, with the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import av
from av.video.reformatter import VideoReformatter

from timesformer.synthetic.shapes import Frames

FPS = 30

# A larger crf would leave traces of where the shape has been, and so tell the class in a single
# frame; veryfast is as fast as any preset here, and its files are the smallest. Without mbtree,
# which at this size now and then makes different files from equal frames (PyAV 18.1, AVX2).
MOVING = {"preset": "veryfast", "crf": "20", "mbtree": "0"}
# Every frame is a key frame of fixed quality, coded from nothing but itself: it cannot tell what
# was before it or what comes next.
ALONE = {"preset": "veryfast", "qp": "28", "g": "1"}


def write_clip(path: Path, frames: Frames, options: dict[str, str] = MOVING) -> None:
    """Encode RGB frames ``(T, H, W, 3)`` as H.264 in mp4 at `FPS` frames per second."""
    reformatter = VideoReformatter()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for rgb in frames:
            # One thread: by default every conversion would start as many as there are cores.
            frame = reformatter.reformat(
                av.VideoFrame.from_ndarray(rgb, format="rgb24"), format="yuv420p", threads=1
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
