"""Geometry and pixels of the transforms, against a plain float pipeline."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms import RandomResizedCrop as Reference
from torchvision.transforms.v2.functional import resized_crop

from timesformer.datasets.transforms import (
    RandomResizedCrop,
    TrainTransform,
    ViewTransform,
    crop_offsets,
    resized_crops,
    resized_shape,
)
from timesformer.errors import UserError

# Grey levels between the uint8 result and the float pipeline: half of one is rounding, the rest
# (0.32 seen) OpenCV's 11-bit interpolation weights and truncated intermediate sums.
RESIZE_BOUND = 1.0


def noise(frames: int, height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(height * width)
    return generator.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def ramp(frames: int, height: int, width: int) -> np.ndarray:
    """Red is the column, green the row, blue the frame: a pixel says where it comes from."""
    video = np.zeros((frames, height, width, 3), dtype=np.uint8)
    video[..., 0] = np.arange(width)
    video[..., 1] = np.arange(height)[:, None]
    video[..., 2] = np.arange(frames)[:, None, None]
    return video


def float_resize(frames: np.ndarray, short_side: int) -> torch.Tensor:
    """The released geometry, written out: float (T, C, H', W')."""
    height, width = frames.shape[1:3]
    if width < height:
        size = (math.floor(height / width * short_side), short_side)
    else:
        size = (short_side, math.floor(width / height * short_side))
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    return F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize(
    ("height", "width", "short_side", "shape"),
    [
        (240, 320, 256, (256, 341)),
        (320, 240, 256, (341, 256)),
        (256, 340, 224, (224, 297)),
        (200, 200, 224, (224, 224)),
        (27, 35, 8, (8, 10)),
    ],
)
def test_the_long_side_is_floored(
    height: int, width: int, short_side: int, shape: tuple[int, int]
) -> None:
    assert resized_shape(height, width, short_side) == shape


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (27, 35), (120, 160), (50, 50), (9, 200)])
@pytest.mark.parametrize("short_side", [24, 32, 48, 61])
def test_resizing_is_the_float_pipeline_within_a_grey_level(
    size: tuple[int, int], short_side: int
) -> None:
    frames = noise(2, *size)
    expected = float_resize(frames, short_side).transpose(0, 1)  # (C, T, H', W')
    shape = resized_shape(*size, short_side)
    assert expected.shape[-2:] == shape
    corners = [(0, 0), (shape[0] - 20, shape[1] - 20), (2, 3)]
    crops = resized_crops(frames, shape, corners, 20)
    assert crops.dtype == torch.uint8
    for crop, (top, left) in zip(crops, corners, strict=True):
        part = expected[..., top : top + 20, left : left + 20]
        assert (crop - part).abs().max() < RESIZE_BOUND


def test_the_right_size_is_left_alone() -> None:
    frames = noise(2, 32, 40)
    (crop,) = resized_crops(frames, (32, 40), [(0, 8)], 32)
    assert torch.equal(crop, torch.from_numpy(frames[:, :, 8:]).permute(3, 0, 1, 2))


def test_a_flipped_crop_is_the_mirrored_one() -> None:
    frames = noise(2, 32, 40)
    (crop,) = resized_crops(frames, (24, 30), [(1, 2)], 20)
    (flipped,) = resized_crops(frames, (24, 30), [(1, 2)], 20, flip=True)
    assert flipped.is_contiguous()
    assert torch.equal(flipped, crop.flip(-1))


@pytest.mark.parametrize(
    ("height", "width", "num_crops", "offsets"),
    [
        (96, 127, 3, [(0, 0), (0, 16), (0, 31)]),  # an odd rest: the centre is rounded up
        (127, 96, 3, [(0, 0), (16, 0), (31, 0)]),
        (100, 100, 3, [(2, 0), (2, 2), (2, 4)]),
        (100, 127, 1, [(2, 16)]),
    ],
)
def test_crop_offsets(
    height: int, width: int, num_crops: int, offsets: list[tuple[int, int]]
) -> None:
    assert crop_offsets(height, width, 96, num_crops) == offsets


def test_views_are_clip_major_then_crop() -> None:
    clips = np.stack([ramp(4, 32, 48), ramp(4, 32, 48) + np.uint8(100)])
    views = ViewTransform(short_side=32, crop_size=32, num_crops=3)(clips)
    assert views.shape == (6, 3, 4, 32, 32)
    assert views.dtype == torch.uint8
    assert views.is_contiguous()
    assert views[:, 0, 0, 0, 0].tolist() == [0, 8, 16, 100, 108, 116]
    assert views[0, 2, :, 0, 0].tolist() == [0, 1, 2, 3]


def test_a_tall_video_is_cropped_top_centre_bottom() -> None:
    views = ViewTransform(short_side=32, crop_size=32, num_crops=3)(ramp(1, 48, 32)[None])
    assert views[:, 1, 0, 0, 0].tolist() == [0, 8, 16]


def test_training_crops_every_frame_alike() -> None:
    transform = TrainTransform(jitter_scales=(32, 32), crop_size=16, flip=False)
    clip = transform(ramp(5, 32, 48), random.Random(3))
    assert clip.shape == (3, 5, 16, 16)
    assert clip.dtype == torch.uint8
    assert clip.is_contiguous()
    assert (clip[:2] == clip[:2, :1]).all()
    assert clip[2, :, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_training_reaches_every_offset_and_both_directions() -> None:
    transform = TrainTransform(jitter_scales=(8, 8), crop_size=6)
    clips = [transform(ramp(1, 8, 10), random.Random(seed)) for seed in range(300)]
    lefts = {int(clip[0].min()) for clip in clips}
    tops = {int(clip[1].min()) for clip in clips}
    flips = [bool(clip[0, 0, 0, 0] > clip[0, 0, 0, -1]) for clip in clips]
    assert lefts == {0, 1, 2, 3, 4}
    assert tops == {0, 1, 2}
    assert 110 < sum(flips) < 190


def test_training_is_a_function_of_its_generator() -> None:
    transform = TrainTransform(jitter_scales=(32, 48), crop_size=24)
    frames = noise(2, 40, 50)
    assert torch.equal(transform(frames, random.Random(1)), transform(frames, random.Random(1)))
    assert not torch.equal(transform(frames, random.Random(1)), transform(frames, random.Random(2)))


@pytest.mark.parametrize(("inverse", "mean"), [(False, 48.0), (True, 44.4)])
def test_short_sides_are_uniform_or_inversely_so(inverse: bool, mean: float) -> None:
    # The mean of U(32, 64) is 48; that of 1 / U(1/64, 1/32) is 64 ln 2.
    transform = TrainTransform(jitter_scales=(32, 64), crop_size=8, inverse_uniform=inverse)
    sides = [transform._draw_short_side(random.Random(seed)) for seed in range(2000)]
    assert min(sides) in (32, 33)
    assert max(sides) in (63, 64)
    assert np.mean(sides) == pytest.approx(mean, abs=0.7)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="a crop of 64 pixels does not fit a short side of 32"):
        TrainTransform(jitter_scales=(32, 80), crop_size=64)
    with pytest.raises(UserError, match="not in order"):
        TrainTransform(jitter_scales=(80, 70), crop_size=64)
    with pytest.raises(UserError, match="2 spatial crops"):
        ViewTransform(short_side=64, crop_size=64, num_crops=2)


SHAPES = {"areas": (0.08, 1.0), "aspects": (0.75, 4 / 3)}


def boxes(size: tuple[int, int], **changes: tuple[float, float]) -> np.ndarray:
    """1500 draws of (top, left, height, width)."""
    transform = RandomResizedCrop(crop_size=16, **(SHAPES | changes))
    return np.array([transform.draw_box(*size, random.Random(seed)) for seed in range(1500)])


def test_random_boxes_are_distributed_as_torchvisions() -> None:
    drawn = boxes((96, 128))
    image = torch.zeros(3, 96, 128)
    theirs = np.array(
        [
            Reference.get_params(image, list(SHAPES["areas"]), list(SHAPES["aspects"]))
            for _ in range(1500)
        ]
    )
    for ours, reference in zip(drawn.T, theirs.T, strict=True):
        # Means of 1500 draws each: five standard errors of their difference.
        assert abs(ours.mean() - reference.mean()) < 5 * reference.std() * math.sqrt(2 / 1500)
        assert ours.std() == pytest.approx(reference.std(), rel=0.1)
    assert (drawn >= 0).all()
    assert ((drawn[:, :2] + drawn[:, 2:]) <= (96, 128)).all()
    shares = drawn[:, 2] * drawn[:, 3] / (96 * 128)
    assert 0.07 < shares.min() < 0.12
    assert shares.max() > 0.9
    shapes = drawn[:, 3] / drawn[:, 2]
    assert 0.70 < shapes.min() < 0.80
    assert 1.25 < shapes.max() < 1.40


@pytest.mark.parametrize(
    ("size", "box"),
    [((20, 200), (0, 86, 20, 27)), ((200, 20), (86, 0, 27, 20))],
)
def test_where_no_box_fits_the_centre_is_taken(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    """The whole area at aspects between 3:4 and 4:3 does not fit."""
    transform = RandomResizedCrop(areas=(1.0, 1.0), aspects=SHAPES["aspects"], crop_size=8)
    drawn = {transform.draw_box(*size, random.Random(seed)) for seed in range(20)}
    assert drawn == {box}
    image = torch.zeros(3, *size)
    assert box in {
        Reference.get_params(image, [1.0, 1.0], list(SHAPES["aspects"])) for _ in range(20)
    }


def test_a_part_of_the_frame_is_brought_to_size() -> None:
    frames = noise(3, 40, 50)
    transform = RandomResizedCrop(crop_size=24, **SHAPES)
    for seed in range(20):
        clip = transform(frames, random.Random(seed))
        assert clip.shape == (3, 3, 24, 24)
        assert clip.is_contiguous()
        rng = random.Random(seed)
        box = transform.draw_box(40, 50, rng)
        expected = resized_crop(
            torch.from_numpy(frames).permute(0, 3, 1, 2).float(),
            *box,
            [24, 24],
            InterpolationMode.BILINEAR,
            antialias=False,
        ).transpose(0, 1)
        if rng.random() < 0.5:
            expected = expected.flip(-1)
        assert (clip - expected).abs().max() < RESIZE_BOUND
