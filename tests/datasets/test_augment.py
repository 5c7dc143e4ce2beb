"""Pixel operations on clips: against timm's on pictures, and alike for all frames."""

from __future__ import annotations

import dataclasses
import random

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import auto_augment as timm
from torch import Tensor

from timesformer.datasets.augment import IN_COLOUR, OPERATIONS, Augment, ColorJitter, apply
from timesformer.datasets.auto_augment import LEVELS, PUBLISHED, Drawn, parse
from timesformer.datasets.batch import Batch, Item, collate

FILL = [115, 110, 100]
# Each operation at its strongest, or where it has no natural end, strong.
AMOUNTS = {
    "Rotate": 30.0,
    "ShearX": -0.3,
    "ShearY": 0.3,
    "TranslateX": 0.45,
    "TranslateY": -0.45,
    "Sharpness": 1.9,
    "GaussianBlur": 2.0,
    "AutoContrast": 0.0,
    "Equalize": 0.0,
    "Invert": 0.0,
    "Posterize": 2,
    "Solarize": 100,
    "SolarizeAdd": 110,
    "Color": 0.1,
    "Contrast": 1.9,
    "Brightness": 0.5,
}
TEXTS = ["rand-m9-n2-mstd0.5-inc1", "rand-m7-n4-mstd0.5-inc1", "rand-m15-mmax20-n3", *PUBLISHED]


def picture(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    """A smooth uint8 (H, W, C) that does not use all grey levels."""
    coarse = np.random.default_rng(seed).integers(20, 236, (5, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def clip_of(*pictures: np.ndarray) -> Tensor:
    """uint8 (C, T, H, W)."""
    return torch.from_numpy(np.stack(pictures)).permute(3, 0, 1, 2).contiguous()


def test_every_operation_that_can_be_drawn_exists_and_is_tried_here() -> None:
    assert {operation for operation, _ in LEVELS.values()} == OPERATIONS.keys() == AMOUNTS.keys()


@pytest.mark.parametrize("name", AMOUNTS)
def test_equal_frames_stay_equal_and_change(name: str) -> None:
    clip = clip_of(*[picture(1)] * 4)
    changed = apply(clip, Drawn(name, AMOUNTS[name]), FILL)
    assert changed.shape == clip.shape
    assert changed.dtype == torch.uint8
    assert torch.equal(changed, changed[:, :1].expand_as(changed))
    assert not torch.equal(changed, clip)


@pytest.mark.parametrize("name", sorted(IN_COLOUR))
def test_a_colour_becomes_the_same_colour_in_every_frame(name: str) -> None:
    """What stands still does not flicker when something else comes into sight."""
    still, moving = picture(1), picture(1)
    moving[:20] = 255
    changed = apply(clip_of(still, moving), Drawn(name, AMOUNTS[name]), FILL)
    assert torch.equal(changed[:, 0, 20:], changed[:, 1, 20:])


# Grey levels that a result may be off, and the share of the pixels that may be off by more: PIL
# rounds means and weights to whole numbers, blurs with boxes in place of a bell, and fills what
# comes in from outside without a half-way pixel at the edge.
@pytest.mark.parametrize(
    ("name", "amount", "theirs", "levels", "share"),
    [
        ("Rotate", 17.0, timm.rotate, 1, 0.06),
        ("ShearX", 0.2, timm.shear_x, 1, 0.04),
        ("ShearY", -0.25, timm.shear_y, 1, 0.04),
        ("TranslateX", 0.21, timm.translate_x_rel, 1, 0.04),
        ("TranslateY", -0.3, timm.translate_y_rel, 0, 0),
        ("Sharpness", 0.3, timm.sharpness, 0, 0),
        ("Sharpness", 1.7, timm.sharpness, 0, 0),
        ("GaussianBlur", 1.3, timm.gaussian_blur, 2, 0.02),
        ("Color", 0.3, timm.color, 1, 0),
        ("Color", 1.8, timm.color, 1, 0),
        ("Contrast", 0.4, timm.contrast, 1, 0),
        ("Contrast", 1.8, timm.contrast, 1, 0),
        ("Brightness", 0.5, timm.brightness, 0, 0),
        ("Brightness", 1.8, timm.brightness, 0, 0),
        ("Posterize", 3, timm.posterize, 0, 0),
        ("Posterize", 8, timm.posterize, 0, 0),
        ("Solarize", 100, timm.solarize, 0, 0),
        ("Solarize", 256, timm.solarize, 0, 0),
        ("SolarizeAdd", 99, timm.solarize_add, 0, 0),
        ("SolarizeAdd", 128, timm.solarize_add, 0, 0),
        ("AutoContrast", 0, timm.auto_contrast, 1, 0),
        ("Equalize", 0, timm.equalize, 0, 0),
        ("Invert", 0, timm.invert, 0, 0),
    ],
)
def test_a_picture_becomes_what_timm_makes_of_it(
    name: str, amount: float, theirs: object, levels: int, share: float
) -> None:
    image = picture(2)
    arguments = [] if theirs in (timm.auto_contrast, timm.equalize, timm.invert) else [amount]
    settings = {"fillcolor": tuple(FILL), "resample": Image.Resampling.BILINEAR}
    expected = theirs(Image.fromarray(image), *arguments, **settings)
    ours = apply(clip_of(image), Drawn(name, amount), FILL)[:, 0].permute(1, 2, 0).numpy()
    off = np.abs(ours.astype(int) - np.asarray(expected).astype(int))
    assert (off > levels).mean() <= share


def test_what_comes_in_from_outside_has_the_fill_colour() -> None:
    clip = clip_of(picture(3))
    shifted = apply(clip, Drawn("TranslateX", -0.25), FILL)
    assert shifted[:, 0, 20, 2].tolist() == FILL
    turned = apply(clip, Drawn("Rotate", 30.0), FILL)
    assert turned[:, 0, 0, 0].tolist() == FILL


def test_no_bits_are_black_and_a_small_frame_is_blurred() -> None:
    assert apply(clip_of(picture(3)), Drawn("Posterize", 0), FILL).max() == 0
    small = clip_of(picture(3, 5, 4))
    assert apply(small, Drawn("GaussianBlur", 2.0), FILL).shape == small.shape


def items(count: int = 4, copies: int = 2) -> list[Item]:
    """Every clip of every video shows the same."""
    views = torch.stack([clip_of(picture(1), picture(2), picture(1))] * copies)
    return [Item(views.clone(), label=0, index=i, seed=100 + i) for i in range(count)]


def batch(count: int = 4, copies: int = 2) -> Batch:
    return collate(items(count, copies))


@pytest.mark.parametrize("text", TEXTS)
def test_every_policy_changes_each_clip_in_its_own_way(text: str) -> None:
    before = batch(8).views.clone()
    after = Augment(parse(text).draw, fill=FILL)(batch(8)).views
    assert after.shape == before.shape
    assert after.dtype == torch.uint8
    assert torch.equal(after[:, :, :, 0], after[:, :, :, 2]), "equal frames have stayed equal"
    ways = {clip.numpy().tobytes() for clip in after.flatten(0, 1)}
    assert len(ways) > (2 if text == "3a" else 5)  # a third of 3a's clips are all the same grey


def test_what_a_clip_gets_depends_on_its_seed_alone() -> None:
    """Not on its neighbours: batches may be cut as one likes."""
    augment = Augment(parse("rand-m9-n4-mstd0.5").draw, fill=FILL)
    whole = augment(batch(4)).views
    parts = [augment(collate([item])).views for item in items(4)]
    assert torch.equal(torch.cat(parts), whole)
    other = [dataclasses.replace(item, seed=item.seed + 1) for item in items(4)]
    assert torch.equal(augment(collate(other)).views[:3], whole[1:])


def test_videos_that_could_not_be_read_are_passed_over() -> None:
    augment = Augment(parse("rand-m9-n4").draw, fill=FILL)
    whole = augment(batch(3)).views
    broken = items(3)
    broken[1] = dataclasses.replace(broken[1], views=None)
    assert torch.equal(augment(collate(broken)).views, whole[[0, 2]])
    nothing = collate([broken[1]])
    assert augment(nothing).views.shape == (0,)


def test_colour_jitter_is_torchvisions() -> None:
    """Factors uniform around 1, in random order; no further down than 0."""
    draws = [ColorJitter(0.4).draw(random.Random(seed)) for seed in range(2000)]
    for name in ("Brightness", "Contrast", "Color"):
        factors = [each.amount for draw in draws for each in draw if each.operation == name]
        assert len(factors) == 2000
        assert 0.6 <= min(factors) < 0.61
        assert 1.39 < max(factors) <= 1.4
        assert np.mean(factors) == pytest.approx(1, abs=0.03)
    assert len({tuple(each.operation for each in draw) for draw in draws}) == 6
    strong = [ColorJitter(2).draw(random.Random(seed)) for seed in range(99)]
    assert min(each.amount for draw in strong for each in draw) >= 0
    changed = Augment(ColorJitter(0.4).draw, fill=FILL)(batch()).views
    assert not torch.equal(changed, batch().views)


@pytest.mark.gpu
@pytest.mark.parametrize("name", AMOUNTS)
def test_a_gpu_gives_what_the_cpu_gives(name: str) -> None:
    clip, drawn = clip_of(picture(1), picture(2)), Drawn(name, AMOUNTS[name])
    there = apply(clip.cuda(), drawn, FILL).cpu()
    # Sums in another order turn a few roundings; at an edge a pixel may be in or out.
    off = (there.int() - apply(clip, drawn, FILL).int()).abs()
    assert (off > 1).float().mean() < 0.01
