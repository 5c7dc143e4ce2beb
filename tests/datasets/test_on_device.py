"""Normalisation, erasing, mixup and CutMix."""

import math
import random

import pytest
import torch

from timesformer.datasets.batch import Item, collate
from timesformer.datasets.on_device import Mixup, Normalizer, RandomErasing, clip_rngs, cutmix
from timesformer.optim.losses import cross_entropy

CPU = torch.device("cpu")


def test_normalisation_by_hand():
    views = torch.full((2, 3, 3, 1, 1, 1), 255, dtype=torch.uint8)
    views[:, :, 1] = 0
    clips = Normalizer(mean=[0.45] * 3, std=[0.225, 0.5, 1.0], bgr=False, device=CPU)(views)
    assert clips.shape == (6, 3, 1, 1, 1)
    assert clips[0].flatten().tolist() == pytest.approx([0.55 / 0.225, -0.45 / 0.5, 0.55])


def test_bgr_reverses_the_channels_before_mean_and_std():
    views = torch.tensor([255, 51, 0], dtype=torch.uint8).view(1, 1, 3, 1, 1, 1)
    clips = Normalizer(mean=[0.0] * 3, std=[1.0, 1.0, 2.0], bgr=True, device=CPU)(views)
    assert clips.flatten().tolist() == pytest.approx([0.0, 0.2, 0.5])


@pytest.mark.parametrize("bgr", [False, True])
def test_a_normalised_clip_can_be_looked_at(bgr):
    views = torch.arange(48, dtype=torch.uint8).mul(5).view(1, 1, 3, 4, 2, 2)
    normalize = Normalizer(mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4], bgr=bgr, device=CPU)
    clips = normalize(views)
    assert torch.equal(normalize.invert(clips), views[0])
    assert torch.equal(normalize.invert(clips[0]), views[0, 0])
    assert normalize.invert(clips * 100).unique().tolist() == [0, 255]


def mixup(**changes):
    settings = {
        "num_classes": 4,
        "alpha": 0.8,
        "cutmix_alpha": 1.0,
        "prob": 1.0,
        "switch_prob": 0.5,
    }
    return Mixup(**(settings | changes))


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_label_share_is_the_pixel_share(seed):
    """A clip of zeros among ones: the mean of its pixels is the share it took from the other."""
    clips = torch.stack([torch.zeros(3, 2, 12, 20), torch.ones(3, 2, 12, 20)])
    mixed, kept = cutmix(clips, 0.6, random.Random(seed))
    assert mixed[0].mean().item() == pytest.approx(1 - kept, abs=1e-6)
    # The same box in every frame and channel: whole columns of (C, T) are one value.
    assert torch.equal(mixed[0].amin(dim=(0, 1)), mixed[0].amax(dim=(0, 1)))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("settings", [{"cutmix_alpha": 0.0}, {"alpha": 0.0}, {}])
def test_targets_follow_the_pixels(seed, settings):
    clips = torch.stack([torch.zeros(3, 2, 8, 8), torch.ones(3, 2, 8, 8)])
    mixed, targets = mixup(**settings)(clips, torch.tensor([1, 3]), random.Random(seed))
    assert targets.sum(dim=1).tolist() == pytest.approx([1.0, 1.0])
    assert mixed[0].mean().item() == pytest.approx(targets[0, 3].item(), abs=1e-5)


def test_probability_zero_leaves_everything_alone():
    clips = torch.rand(2, 3, 2, 8, 8)
    mixed, targets = mixup(prob=0.0)(clips, torch.tensor([1, 3]), random.Random(0))
    assert torch.equal(mixed, clips)
    assert targets.argmax(1).tolist() == [1, 3]
    assert targets.max() == 1


@pytest.mark.parametrize("switch", [0.0, 1.0], ids=["mixup", "cutmix"])
def test_soft_targets_are_shares_of_the_pixels_in_repeated_batches(switch):
    """Two clips of each of three videos side by side: clip i takes from clip 5 - i."""
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    clips = labels.view(6, 1, 1, 1, 1) * torch.ones(6, 3, 2, 8, 8)
    for seed in range(20):
        mixed, targets = mixup(switch_prob=switch)(clips, labels, random.Random(seed))
        assert targets.sum(dim=1).tolist() == pytest.approx([1.0] * 6)
        # The pixels are the labels: their mean is the label that the shares add up to.
        expected = (targets * torch.arange(4)).sum(dim=1)
        assert mixed.mean(dim=(1, 2, 3, 4)).tolist() == pytest.approx(expected.tolist(), abs=1e-5)
        assert targets[2:4, 1].tolist() == pytest.approx([1.0, 1.0])  # mixed with themselves


def test_label_smoothing_of_soft_targets():
    """The smoothed share goes to all classes alike, whatever the target was."""
    targets = torch.tensor([[0.7, 0.3, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    logits = torch.randn(2, 4)
    smooth = targets * 0.9 + 0.1 / 4
    expected = -(smooth * logits.log_softmax(dim=1)).sum(dim=1)
    assert cross_entropy(logits, targets, 0.1).tolist() == pytest.approx(expected.tolist())


def rngs(count):
    return [random.Random(seed) for seed in range(count)]


def erased(mode, count=400, max_count=1, prob=1.0, side=32):
    """Clips (count, 3, 2, side, side) of sevens, of which boxes have been erased."""
    clips = torch.full((count, 3, 2, side, side), 7.0)
    return RandomErasing(prob=prob, mode=mode, max_count=max_count)(clips, rngs(count))


@pytest.mark.parametrize("mode", ["pixel", "rand", "const"])
def test_a_box_goes_through_all_frames(mode):
    clips = erased(mode)
    assert torch.equal(clips[:, :, 0], clips[:, :, 1])
    hit = clips != 7
    assert (hit.amin(dim=1) == hit.amax(dim=1)).all(), "all channels alike"
    for mask in hit[:, 0, 0]:
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        assert mask.sum() == rows.sum() * columns.sum() > 0, "one box"


def test_boxes_have_the_published_sizes():
    hit = erased("const", side=64)[:, 0, 0] == 0
    shares = hit.float().mean(dim=(1, 2))
    assert 0.015 < shares.min() < 0.03
    assert 0.31 < shares.max() < 0.35
    # Uniform from 0.02 to 1/3, but the largest do not always fit.
    assert shares.mean().item() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.02)
    aspects = hit.any(dim=2).sum(dim=1) / hit.any(dim=1).sum(dim=1)
    assert 0.25 < aspects.min() < 0.4
    assert 2.5 < aspects.max() < 4
    assert aspects.log().mean().item() == pytest.approx(0, abs=0.15)


def test_fillings():
    pixels = erased("pixel")
    noise = pixels[pixels != 7]
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(1, abs=0.02)
    colours = [clip[:, 0][clip[:, 0] != 7].view(3, -1) for clip in erased("rand")]
    assert all((colour == colour[:, :1]).all() for colour in colours)
    means = torch.stack([colour[:, 0] for colour in colours])
    assert means.std().item() == pytest.approx(1, abs=0.1)
    assert len(set(means[0].tolist())) == 3
    assert set(erased("const").unique().tolist()) == {0.0, 7.0}


def test_probability_and_number_of_boxes():
    share = (erased("const", prob=0.25) == 0).flatten(1).any(dim=1).float().mean().item()
    assert share == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 400))
    assert (erased("pixel", prob=0.0) == 7).all()
    colours = [len(clip[0, 0].unique()) - 1 for clip in erased("rand", max_count=3)]
    assert set(colours) == {1, 2, 3}
    # However many, together they are about as large as one.
    areas = (erased("const", max_count=3) == 0).float().mean().item()
    assert areas == pytest.approx((0.02 + 1 / 3) / 2, abs=0.03)


def test_erasing_is_a_function_of_the_generator():
    assert torch.equal(erased("pixel", 20), erased("pixel", 20))
    clips = torch.full((2, 3, 2, 32, 32), 7.0)
    RandomErasing(prob=1.0, mode="pixel", max_count=1)(clips, rngs(2)[::-1])
    assert torch.equal(clips.flip(0), erased("pixel", 2))


def test_each_clip_of_a_batch_has_its_own_generator():
    views = torch.zeros(2, 3, 1, 4, 4, dtype=torch.uint8)
    shown = [(5, views), (6, None), (7, views)]
    batch = collate([Item(each, 0, 0, seed=seed) for seed, each in shown])
    draws = [rng.random() for rng in clip_rngs(batch, "erase")]
    assert draws == [rng.random() for rng in clip_rngs(batch, "erase")]
    other = [rng.random() for rng in clip_rngs(batch, "augment")]
    assert len(set(draws + other)) == 8
    alone = collate([Item(views, 0, 2, seed=7)])
    assert [rng.random() for rng in clip_rngs(alone, "erase")] == draws[2:]
