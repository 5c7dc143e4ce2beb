"""The baselines that video tutorials start with: an image network on every frame, then time.

Dimensions: B batch, C channels, T frames, H W pixels, D width of the features.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from timesformer.errors import UserError
from timesformer.models.build import MODEL_REGISTRY, VideoClassifier, load_pretrained, report
from timesformer.models.layers import check_clip

if TYPE_CHECKING:
    from torchvision.models import ResNet

BACKBONES = ("resnet18", "resnet50")


class FrameResNet(VideoClassifier):
    """A ResNet (arXiv 1512.03385) on every frame, then the mean of the frames or an LSTM over them.

    The mean is blind to the order of the frames. The LSTM reads them in order (LRCN, arXiv
    1411.4389 section 3) and its last state is classified, as tutorials do; the paper averages the
    scores of all states.

    Args:
        backbone: a name in `BACKBONES`; UserError for another.
        num_classes: width of the logits; 0 leaves the head out, and `forward` gives features.
        drop_rate: dropout of the features before the head.
        hidden_dim: width of the LSTM; 0 for the mean.
        pretrained_model: weights to start from (see `load_pretrained`), or empty.
    """

    rnn: nn.LSTM | None

    def __init__(
        self,
        *,
        backbone: str = "resnet18",
        num_classes: int = 400,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        hidden_dim: int = 0,
        pretrained_model: str = "",
    ) -> None:
        super().__init__()
        self.in_chans = in_chans
        self.grad_checkpointing = False
        self.backbone, dim = build_resnet(backbone, in_chans)
        self.rnn = nn.LSTM(dim, hidden_dim, batch_first=True) if hidden_dim else None
        self.head_drop = nn.Dropout(drop_rate)
        self.head = nn.Linear(hidden_dim or dim, num_classes) if num_classes else nn.Identity()
        if pretrained_model:
            report(load_pretrained(self, pretrained_model))

    def forward(self, clip: Tensor) -> Tensor:
        """Float (B, C, T, H, W), normalised RGB, of any T, H, W, to logits (B, num_classes)."""
        return self.head(self.head_drop(self.forward_features(clip)))

    def forward_features(self, clip: Tensor) -> Tensor:
        features = self.frame_features(clip)
        if self.rnn is None:
            # The head is linear: the mean feature's scores are the mean of the frames' scores.
            return features.mean(dim=1)  # (B, D)
        _, (hidden, _) = self.rnn(features)  # (1, B, D)
        return hidden[-1]

    def frame_features(self, clip: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, T, D); UserError for clips of another layout."""
        check_clip(clip, self.in_chans)
        images = clip.transpose(1, 2).flatten(0, 1)  # (B*T, C, H, W)
        again = self.grad_checkpointing and torch.is_grad_enabled()
        features = recomputed(self.backbone, images) if again else self.backbone(images)
        return features.unflatten(0, (-1, clip.shape[2]))  # (B, T, D)

    def set_grad_checkpointing(
        self, enable: bool, *, every: int = 1, keep: str = "nothing"
    ) -> None:
        """Recompute each residual block in the backward pass; UserError for anything between."""
        if (every, keep) != (1, "nothing"):
            raise UserError(
                f"TIMESFORMER.CHECKPOINT_EVERY {every} and TIMESFORMER.CHECKPOINT_KEEP {keep} are "
                "about the blocks of a transformer, and this model has none: use 1 and nothing."
            )
        self.grad_checkpointing = enable


def build_resnet(name: str, in_chans: int) -> tuple[ResNet, int]:
    """Torchvision's network with random weights and without its classifier, and its D."""
    from torchvision.models import resnet  # takes seconds, and transformers do without it

    if name not in BACKBONES:
        raise UserError(f"'{name}' is not a known backbone. Known: {', '.join(BACKBONES)}.")
    network = getattr(resnet, name)(weights=None)
    dim = network.fc.in_features
    network.fc = nn.Identity()
    if in_chans != 3:
        network.conv1 = nn.Conv2d(in_chans, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return network, dim


def recomputed(network: ResNet, images: Tensor) -> Tensor:
    """``network(images)``, (B*T, D), that keeps nothing but the inputs of the residual blocks."""
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    for block in (stem, *network.layer1, *network.layer2, *network.layer3, *network.layer4):
        images = run_twice(block, images)
    return network.avgpool(images).flatten(1)


def run_twice(block: nn.Module, x: Tensor) -> Tensor:
    """``block(x)`` now and in the backward pass, where running statistics count nothing twice."""
    first = True

    def run(x: Tensor) -> Tensor:
        nonlocal first
        if first:
            first = False
            return block(x)
        scratch = {name: buffer.clone() for name, buffer in block.named_buffers()}
        return functional_call(block, scratch, x)

    # Not by `context_fn`, at which torch.compile stops with an error.
    return checkpoint(run, x, use_reentrant=False)


for _name in BACKBONES:
    MODEL_REGISTRY.register(f"{_name}_average")(partial(FrameResNet, backbone=_name))
    MODEL_REGISTRY.register(f"{_name}_lstm")(partial(FrameResNet, backbone=_name, hidden_dim=512))
