"""A network made ready for inference: less to compute for the same logits, but for rounding.

Dimensions: B batch, C channels, T frames, H W pixels, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from timesformer.models.attention import Block
from timesformer.models.transformer import VisionTransformer


def folded(
    model: nn.Module, *, mean: Sequence[float], std: Sequence[float], bgr: bool = False
) -> nn.Module | None:
    """A copy of a TimeSformer for inference, from pixels to logits.

    The linear layer behind an attention is multiplied into that attention's last one, and the
    normalisation of pixels into the embedding of patches; the widest tensor, an MLP's, is held once
    and not twice. All other weights are shared with
    `model`, which stays as it is; those that were folded are as they were at the time.

    Args:
        model: a registered one, or a `VisionTransformer`.
        mean, std: of each channel of the model's input, for pixels from 0 to 1.
        bgr: the model takes blue first, while pixels have red first.

    Returns:
        A module, in evaluation, from clips (B, C, T, H, W) of RGB from 0 to 255, uint8 or float, to
        logits (B, num_classes); None for a model that holds no `VisionTransformer`.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    model = deepcopy(model, shared)
    device = next(model.parameters()).device
    mean_of, std_of = (torch.tensor(v, dtype=torch.float64, device=device) for v in (mean, std))
    scale, shift = 1 / (255 * std_of), mean_of / std_of
    network = next((m for m in model.modules() if isinstance(m, VisionTransformer)), None)
    if network is None:
        return None
    for block in network.blocks:
        assert isinstance(block, Block)
        for name in block.attentions_with_fc:
            fold_fc(block, name)
        block.mlp.act = GeluInPlace()
    fold_normalisation(network.patch_embed.proj, scale, shift, bgr=bgr)
    return FromPixels(model).eval()


class FromPixels(nn.Module):
    """A model of float clips that takes pixels of any type."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model(pixels.to(next(self.parameters()).dtype))


class GeluInPlace(nn.Module):
    """GELU in the place of what it is of, unless a gradient will want to know that."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(x) if x.requires_grad else torch.ops.aten.gelu_(x)


def fold_fc(block: Block, name: str) -> None:
    """``fc(proj(x))``, both linear, as one layer in the place of `proj`."""
    proj = block.get_submodule(f"{name}_attn").proj
    fc = block.get_submodule(f"{name}_fc")
    assert isinstance(proj, nn.Linear)
    assert isinstance(fc, nn.Linear)
    outer = fc.weight.detach().double()
    bias = outer @ proj.bias.detach().double() + fc.bias.detach()
    set_values(proj, outer @ proj.weight.detach().double(), bias)
    setattr(block, f"{name}_fc", nn.Identity())


def fold_normalisation(proj: nn.Conv2d, scale: Tensor, shift: Tensor, *, bgr: bool) -> None:
    """A convolution of ``x * scale - shift``, without padding, as one of `x`."""
    weight = proj.weight.detach().double()  # (D, C, P, P)
    scale, shift = (part.to(weight).view(-1, 1, 1) for part in (scale, shift))
    assert proj.bias is not None
    bias = proj.bias.detach() - (weight * shift).sum(dim=(1, 2, 3))
    weight = weight * scale
    set_values(proj, weight.flip(1) if bgr else weight, bias)


def set_values(layer: nn.Linear | nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    """Gives `layer`, and nobody who shares its tensors, other values, which are not learnt."""
    dtype = layer.weight.dtype
    layer.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    layer.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
