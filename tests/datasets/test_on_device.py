"""Normalisation, mixup and CutMix."""

import random

import pytest
import torch

from timesformer.datasets.on_device import Mixup, Normalizer, cutmix

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
