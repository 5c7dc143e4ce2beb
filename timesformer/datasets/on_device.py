"""What happens to a batch once it is on the device: normalisation, erasing, mixup, CutMix.

B clips (V of each of R videos), C channels, T frames, H W pixels, K classes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from timesformer.datasets.batch import Batch


def clip_rngs(batch: Batch, purpose: str) -> list[random.Random]:
    """A generator for each of the R*V clips of `batch.views`, from the seed of its sample."""
    readable = batch.readable.tolist()
    seeds = [seed for seed, is_there in zip(batch.seeds, readable, strict=True) if is_there]
    copies = range(batch.views.shape[1]) if seeds else ()
    return [random.Random(f"{seed} {copy} {purpose}") for seed in seeds for copy in copies]


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
            clips = clips.flip(-4)
        return clips.float().div_(255).sub_(self.mean).div_(self.std)

    def invert(self, clips: Tensor) -> Tensor:
        """uint8 RGB, to look at, from normalised clips (…, C, T, H, W)."""
        pixels = (clips * self.std + self.mean).mul_(255).round_().clamp_(0, 255).byte()
        return pixels.flip(-4) if self.bgr else pixels


class RandomErasing:
    """Boxes of noise (Zhong 2017, with timm's figures), the same ones in every frame of a clip.

    A clip is hit with probability `prob`, by 1 to `max_count` boxes that together cover between 2 %
    and a third of the frame, with sides of up to 10 : 3.

    Args:
        mode: ``pixel`` (normal noise for each pixel), ``rand`` (one normal colour for each box) or
            ``const`` (0: the mean colour). Noise does not change with time: it would be motion.
    """

    AREAS = (0.02, 1 / 3)
    ASPECTS = (0.3, 1 / 0.3)  # height over width

    def __init__(self, *, prob: float, mode: str, max_count: int) -> None:
        self.prob = prob
        self.mode = mode
        self.max_count = max_count

    def __call__(self, clips: Tensor, rngs: Sequence[random.Random]) -> Tensor:
        """Normalised clips float (B, C, T, H, W), overwritten; one generator for each of them."""
        for clip, rng in zip(clips, rngs, strict=True):
            if rng.random() < self.prob:
                count = rng.randint(1, self.max_count)
                for _ in range(count):
                    self._erase(clip, 1 / count, rng)
        return clips

    def _erase(self, clip: Tensor, share: float, rng: random.Random) -> None:
        box = self._draw_box(clip, share, rng)
        if box is None:
            return
        if self.mode == "pixel":
            # Drawn where it is needed: a copy from the host would wait for the device.
            generator = torch.Generator(clip.device).manual_seed(rng.getrandbits(63))
            noise = torch.empty_like(box[:, 0]).normal_(generator=generator)  # (C, h, w)
            box.copy_(noise[:, None].expand_as(box))
            return
        for channel in box:
            channel.fill_(rng.gauss(0, 1) if self.mode == "rand" else 0)

    def _draw_box(self, clip: Tensor, share: float, rng: random.Random) -> Tensor | None:
        """(C, T, h, w), a part of `clip`; None if ten drawn shapes do not fit into the frame."""
        height, width = clip.shape[-2:]
        for _ in range(10):
            area = rng.uniform(*self.AREAS) * share * height * width
            aspect = math.exp(rng.uniform(*map(math.log, self.ASPECTS)))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h < height and w < width:
                top, left = rng.randint(0, height - h), rng.randint(0, width - w)
                return clip[..., top : top + h, left : left + w]
        return None


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
        classes = torch.arange(self.num_classes, device=labels.device)
        # Not `one_hot`, which looks at the values first.
        targets = (labels[:, None] == classes).float()  # (B, K)
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


@dataclass(frozen=True)
class TrainInput:
    """All that becomes of a training batch on the device; what is None is off.

    First `augment`, in uint8, which `prefetch` does ahead of time; then a call.
    """

    augmentation: Callable[[Batch], Batch] | None
    normalize: Normalizer
    erase: RandomErasing | None
    mixup: Mixup | None

    def augment(self, batch: Batch) -> Batch:
        """The batch, its uint8 views (R, V, C, T, H, W) overwritten."""
        return batch if self.augmentation is None else self.augmentation(batch)

    def __call__(self, batch: Batch, rng: random.Random) -> tuple[Tensor, Tensor]:
        """Clips float (B, C, T, H, W) for the model and their targets for the loss.

        The targets are labels int64 (B,), or probabilities float32 (B, K) with mixup, whose `rng`
        is that of the pass; the rest is a function of the samples' seeds.
        """
        clips = self.normalize(batch.views)
        (labels,) = of_each_clip(batch, batch.labels)
        if self.erase is not None:
            clips = self.erase(clips, clip_rngs(batch, "erase"))
        return (clips, labels) if self.mixup is None else self.mixup(clips, labels, rng)


def of_each_clip(batch: Batch, *of_videos: Tensor) -> list[Tensor]:
    """(B,) from what the batch says of each video; all clips of a video stand side by side."""
    return [values.repeat_interleave(batch.views.shape[1]) for values in of_videos]
