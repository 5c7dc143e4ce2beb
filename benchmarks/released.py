"""The procedure of the released code, in our words: what a sample cost there.

It decodes everything from the key frame before the clip to the clip's end, converts every frame to
RGB, then picks T of them; resizes and crops in float; and does all of it again for each view of a
test.
"""

from __future__ import annotations

import math

import av
import numpy as np
import torch
import torch.nn.functional as F

MEAN, STD = 0.45, 0.225


def read_clip(
    path: str, start: float, span: float, num_frames: int, *, threads: int | None
) -> torch.Tensor:
    """uint8 (T, H, W, C): the frames of the clip that begins at frame `start`.

    `threads` decode and convert to RGB; None leaves that to PyAV, which converts on all there are.
    """
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        if threads:
            stream.codec_context.thread_count = threads
        ticks = (stream.duration or 0) / (stream.frames or 1)
        first, last = int(start * ticks), int((start + span - 1) * ticks)
        container.seek(max(first - 1024, 0), any_frame=False, backward=True, stream=stream)
        frames = {}
        for frame in container.decode(stream):
            if frame.pts < first:
                continue
            frames[frame.pts] = frame
            if frame.pts > last:  # and is converted like the others
                break
        ordered = [frames[time] for time in sorted(frames)]
        pictures = [f.reformat(format="rgb24", threads=threads).to_ndarray() for f in ordered]
    clip = torch.as_tensor(np.stack(pictures))
    index = torch.linspace(0, span - 1, num_frames).clamp(0, len(clip) - 1).long()
    return clip.index_select(0, index)


def training_sample(clip: torch.Tensor, side: int, crop: int) -> torch.Tensor:
    """uint8 (T, H, W, C) to a float crop (C, T, S, S), from a corner and mirrored."""
    scaled = _scaled(clip, side)
    return scaled[..., :crop, :crop].flip(-1).contiguous()


def test_view(clip: torch.Tensor, crop: int, place: int) -> torch.Tensor:
    """Crop `place` of three along the longer side: float (C, T, S, S)."""
    scaled = _scaled(clip, crop)
    height, width = scaled.shape[-2:]
    top, left = (math.ceil((length - crop) * place / 2) for length in (height, width))
    return scaled[..., top : top + crop, left : left + crop].contiguous()


def _scaled(clip: torch.Tensor, side: int) -> torch.Tensor:
    """Normalised, and the shorter side `side`: float (C, T, H, W)."""
    values = ((clip.float() / 255 - MEAN) / STD).permute(3, 0, 1, 2)
    height, width = values.shape[-2:]
    scale = side / min(height, width)
    size = (int(height * scale), int(width * scale))
    return F.interpolate(values, size=size, mode="bilinear", align_corners=False)
