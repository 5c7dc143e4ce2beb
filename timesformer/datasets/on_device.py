"""What happens to a batch once it is on the device: normalisation, mixup, CutMix.

B clips, C channels, T frames, H W pixels, K classes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


class Normalizer:
    """uint8 views to the float clips the model takes."""

    def __init__(
        self, *, mean: Sequence[float], std: Sequence[float], bgr: bool, device: torch.device
    ) -> None:
        self.mean = torch.tensor(mean, device=device).view(-1, 1, 1, 1)  # (C, 1, 1, 1)
        self.std = torch.tensor(std, device=device).view(-1, 1, 1, 1)  # (C, 1, 1, 1)
        self.bgr = bgr

    def __call__(self, views: Tensor) -> Tensor:
        """float32 (B*V, C, T, H, W), ``(x / 255 - mean) / std``, from uint8 (B, V, C, T, H, W)."""
        clips = views.flatten(0, 1)  # (B*V, C, T, H, W)
        if self.bgr:
            clips = clips.flip(1)
        return clips.float().div_(255).sub_(self.mean).div_(self.std)


class Mixup:
    """Mixup (Zhang 2018) or CutMix (Yun 2019) of a batch with itself in reverse order.

    CutMix cuts a box of rows and columns through all frames, and the label share is the share of
    the pixels that were really replaced.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        alpha: float,
        cutmix_alpha: float,
        prob: float,
        switch_prob: float,
    ) -> None:
        self.num_classes = num_classes
        self.alpha = alpha
        self.cutmix_alpha = cutmix_alpha
        self.prob = prob
        self.switch_prob = switch_prob

    def __call__(self, clips: Tensor, labels: Tensor, rng: random.Random) -> tuple[Tensor, Tensor]:
        """Mixed clips (B, C, T, H, W) and soft targets float32 (B, K), from labels int64 (B,)."""
        share = 1.0
        if rng.random() < self.prob:
            if self._draws_cutmix(rng):
                clips, share = cutmix(
                    clips, rng.betavariate(self.cutmix_alpha, self.cutmix_alpha), rng
                )
            else:
                share = rng.betavariate(self.alpha, self.alpha)
                clips = torch.lerp(clips.flip(0), clips, share)
        targets = F.one_hot(labels, self.num_classes).float()  # (B, K)
        return clips, torch.lerp(targets.flip(0), targets, share)

    def _draws_cutmix(self, rng: random.Random) -> bool:
        if self.alpha > 0 and self.cutmix_alpha > 0:
            return rng.random() < self.switch_prob
        return self.cutmix_alpha > 0


def cutmix(clips: Tensor, share: float, rng: random.Random) -> tuple[Tensor, float]:
    """Replace a box of about ``1 - share`` of each frame by the clip at the mirrored position.

    Returns:
        The clips, and the share of the pixels that each of them kept.
    """
    height, width = clips.shape[-2:]
    side = math.sqrt(1 - share)
    top, bottom = _cut(height, side, rng)
    left, right = _cut(width, side, rng)
    mixed = clips.clone()
    mixed[..., top:bottom, left:right] = clips.flip(0)[..., top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _cut(size: int, side: float, rng: random.Random) -> tuple[int, int]:
    """Ends of a segment of about ``side * size`` around a random centre, clipped to the frame."""
    centre, half = rng.randrange(size), int(side * size / 2)
    return max(centre - half, 0), min(centre + half, size)
