"""Our test views of real videos against those of the released pipeline."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.shared_data import DATA, GOLDEN, needs_golden
from timesformer.datasets.decode import VideoReader
from timesformer.datasets.sampling import clip_indices, clip_span, view_starts
from timesformer.datasets.transforms import ViewTransform

FOLDER = GOLDEN / "preprocess"
CASES = json.loads((FOLDER / "meta.json").read_text()) if FOLDER.is_dir() else {}

# Grey levels. Our views are uint8: half a level of rounding, and up to 0.32 seen (0.5 allowed) of
# OpenCV's fixed-point weights; the golden clips are float16: half a unit in the last place of a
# value below 4 is 2**-10, which is 0.06 levels.
PIXEL_BOUND = 0.5 + 0.5 + 2**-10 * 0.225 * 255

pytestmark = needs_golden


def clips_of(case: dict[str, object], reader: VideoReader) -> list[list[int]]:
    span = clip_span(case["num_frames"], case["sampling_rate"], reader.fps, case["target_fps"])
    return [
        clip_indices(start, span, case["num_frames"], reader.num_frames, reader.ticks_per_frame)
        for start in view_starts(reader.num_frames, span, case["num_ensemble_views"])
    ]


@pytest.mark.parametrize("name", CASES)
def test_frame_indices_are_the_released_ones(name: str) -> None:
    case = CASES[name]
    # Each golden entry lists the frames that equal the picked one; repeats at the end are equal.
    golden = case["frame_indices_in_decode_order"]
    with VideoReader(str(DATA / "samples" / case["video"])) as reader:
        assert reader.num_frames == case["total_frames"]
        clips = clips_of(case, reader)
    for clip, golden_clip in zip(clips, golden, strict=True):
        assert all(index in same for index, same in zip(clip, golden_clip, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_pixels_are_the_released_ones_within_rounding(name: str) -> None:
    case = CASES[name]
    with VideoReader(str(DATA / "samples" / case["video"])) as reader:
        clips = np.stack([reader.read(clip) for clip in clips_of(case, reader)])
    size = case["test_crop_size"]
    transform = ViewTransform(short_side=size, crop_size=size, num_crops=case["num_spatial_crops"])
    views = transform(clips)
    [golden] = load_file(FOLDER / f"{name}.safetensors").values()
    pixels = (golden.float() * case["std"] + case["mean"]) * 255
    assert pixels.shape == views.shape
    difference = (pixels - views).abs()
    assert difference.max() < PIXEL_BOUND
    # A wrong frame, crop or channel order would show here first.
    assert difference.mean() < 0.35
    assert torch.isfinite(golden).all()
