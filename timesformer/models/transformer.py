"""The TimeSformer network (arXiv 2102.05095): embed the patches, run the blocks, read the class.

Dimensions: B batch, C channels, T frames, H W pixels, h w rows and columns of patches, N = h*w
patches, D width, P patch side.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from timesformer.errors import UserError
from timesformer.models.attention import ATTENTION_SCHEMES, LAYER_NORM_EPS, BlockSpec, TokenGrid
from timesformer.models.layers import PatchEmbed, check_divisible
from timesformer.models.pos_embed import draw, resize_spatial, resize_temporal
from timesformer.models.recompute import Recomputed

POS_EMBEDS = ("space_time", "space", "none")


class LayerTokens(NamedTuple):
    """The tokens after one block, where they lie in the clip."""

    cls_token: Tensor
    """(B, D); for a scheme that looks at each frame by itself (B, T, D)."""
    patches: Tensor
    """(B, T, h, w, D)."""


class VisionTransformer(nn.Module):
    """A ViT over the patches of a clip, with one of the attention schemes of the paper.

    Parameter names are those of the released checkpoints. Construction draws random weights and
    nothing else: no download, no device, no global state but PyTorch's generator. The arguments
    that say what network it is, and not how it starts or trains, are kept as `geometry`.

    Args:
        img_size: pixels, one side or (H, W); inputs of other sizes work, see `forward`.
        patch_size: P, pixels; divides `img_size`.
        in_chans: C.
        num_classes: width of the logits; 0 leaves the head out, and `forward` gives features.
        embed_dim, depth, num_heads, mlp_ratio, qkv_bias: as in ViT (arXiv 2010.11929).
        drop_rate, attn_drop_rate: dropout of the tokens (once, after both embeddings) and of every
            projection; dropout of the attention weights.
        drop_path_rate: stochastic depth of the last block; the first has 0, linear between.
        num_frames: T that the time embedding is learnt for; other lengths work.
        attention_type: a name in `ATTENTION_SCHEMES`.
        pos_embed: what the tokens are told of where they lie: "space_time", "space" or "none"
            (paper table 4). A scheme that looks at each frame by itself has no use for time.
        head_hidden_dim: width of the hidden layer of the head (paper section 2: one hidden layer);
            0 for a linear head, as released.
        init_std to temporal_fc_zero_init: see `init_weights`.

    Raises:
        UserError: unknown `attention_type` or `pos_embed`, or a geometry that does not divide.
    """

    pos_embed: nn.Parameter | None
    time_embed: nn.Parameter | None

    def __init__(
        self,
        *,
        img_size: int | Sequence[int] = 224,
        patch_size: int = 16,
        in_chans: int = 3,
        num_classes: int = 1000,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        num_frames: int = 8,
        attention_type: str = "divided_space_time",
        pos_embed: str = "space_time",
        head_hidden_dim: int = 0,
        init_std: float = 0.02,
        pos_embed_init: str = "normal",
        pos_embed_std: float = 0.02,
        time_embed_init: str = "normal",
        time_embed_std: float = 0.0,
        temporal_fc_zero_init: bool = True,
    ) -> None:
        super().__init__()
        if pos_embed not in POS_EMBEDS:
            raise UserError(
                f"pos_embed is '{pos_embed}'; it must be one of {', '.join(POS_EMBEDS)}."
            )
        scheme = ATTENTION_SCHEMES.get(attention_type)
        in_time = pos_embed == "space_time" and scheme.embeds_time
        self.geometry: dict[str, Any] = {
            "img_size": img_size if isinstance(img_size, int) else list(img_size),
            "patch_size": patch_size,
            "in_chans": in_chans,
            "num_classes": num_classes,
            "embed_dim": embed_dim,
            "depth": depth,
            "num_heads": num_heads,
            "mlp_ratio": mlp_ratio,
            "qkv_bias": qkv_bias,
            "num_frames": num_frames,
            "attention_type": attention_type,
            "pos_embed": pos_embed,
            "head_hidden_dim": head_hidden_dim,
        }
        self.scheme = scheme
        self.grid = token_grid(num_frames, img_size, patch_size)
        self.recomputed: Recomputed | None = None

        self.patch_embed = PatchEmbed(patch_size, in_chans, embed_dim)
        self.cls_token = embedding(1, embed_dim)
        in_space = pos_embed != "none"
        self.pos_embed = embedding(1 + self.grid.patches, embed_dim) if in_space else None
        self.time_embed = embedding(num_frames, embed_dim) if in_time else None
        self.pos_drop = nn.Dropout(drop_rate)
        spec = BlockSpec(embed_dim, num_heads, mlp_ratio, qkv_bias, drop_rate, attn_drop_rate)
        rates = stochastic_depth(drop_path_rate, depth)
        self.blocks = nn.ModuleList(scheme(spec, rate) for rate in rates)
        self.norm = nn.LayerNorm(embed_dim, eps=LAYER_NORM_EPS)
        self.head = classifier(embed_dim, head_hidden_dim, num_classes)
        init_weights(
            self,
            init_std=init_std,
            pos_embed_init=pos_embed_init,
            pos_embed_std=pos_embed_std,
            time_embed_init=time_embed_init,
            time_embed_std=time_embed_std,
            temporal_fc_zero_init=temporal_fc_zero_init,
        )

    def forward(self, clip: Tensor) -> Tensor:
        """Logits of a clip.

        Args:
            clip: float (B, C, T, H, W), normalised RGB. H and W may be any multiples of the patch
                and T any length: the embeddings are resized by nearest neighbour, as released.

        Returns:
            (B, num_classes), in training and evaluation alike; (B, D) without a head.
        """
        return self.head(self.forward_features(clip))

    def forward_features(self, clip: Tensor) -> Tensor:
        """The class token after the final norm, (B, D); `clip` as in `forward`."""
        tokens, grid = self.embed(clip)
        for block in self.blocks:
            is_last = block is self.blocks[-1]
            tokens = self.run_block(block, tokens, grid, only_cls=is_last)
        cls_token = self.scheme.cls_token_of(tokens, grid)
        if cls_token.ndim == 3:  # (B, T, D)
            # As released, the frames are averaged before the norm and not after it.
            cls_token = cls_token.mean(dim=1)
        return self.norm(cls_token)

    def forward_intermediates(
        self, clip: Tensor, layers: Sequence[int] | None = None, *, norm: bool = False
    ) -> list[LayerTokens]:
        """The tokens after each block, or after those of `layers` in the order of depth.

        Args:
            clip: as in `forward`.
            layers: indices of blocks; negative ones count from the last.
            norm: pass the tokens through the final norm.

        Raises:
            UserError: a layer that the network does not have.
        """
        wanted = layer_indices(layers, len(self.blocks))
        tokens, grid = self.embed(clip)
        seen = []
        for layer, block in enumerate(self.blocks):
            tokens = self.run_block(block, tokens, grid)
            if layer in wanted:
                seen.append(self.in_place(self.norm(tokens) if norm else tokens, grid))
        return seen

    def run_block(
        self, block: nn.Module, tokens: Tensor, grid: TokenGrid, *, only_cls: bool = False
    ) -> Tensor:
        if self.recomputed is not None and torch.is_grad_enabled():
            return self.recomputed(block, tokens, grid, only_cls=only_cls)
        return block(tokens, grid, only_cls=only_cls)

    def in_place(self, tokens: Tensor, grid: TokenGrid) -> LayerTokens:
        """The tokens of a block by frame, row and column."""
        patches = self.scheme.patches_of(tokens, grid).unflatten(1, (grid.height, grid.width))
        return LayerTokens(self.scheme.cls_token_of(tokens, grid), patches.permute(0, 3, 1, 2, 4))

    def embed(self, clip: Tensor) -> tuple[Tensor, TokenGrid]:
        """Tokens with their place and time, as the blocks take them (paper eq. 1)."""
        patches = self.patch_embed(clip)  # (B, T, h, w, D)
        grid = TokenGrid(*patches.shape[1:4])
        patches = patches.flatten(2, 3).transpose(1, 2)  # (B, N, T, D)
        cls_token: Tensor = self.cls_token  # (1, 1, D)
        place = self.place(grid)
        if self.pos_embed is not None:
            cls_token = cls_token + self.pos_embed[:, :1]
        if place is not None:
            patches = patches + place
        cls_token = self.pos_drop(cls_token.expand(clip.shape[0], -1, -1))
        return self.scheme.arrange(cls_token, self.pos_drop(patches)), grid

    def place(self, grid: TokenGrid) -> Tensor | None:
        """What patches are told of their place and time: (1, N, T, D), or with 1 for N or T."""
        parts = []
        if self.pos_embed is not None:
            # Not grid[1:]: tracing with torch 2.6 does not follow a slice of a named tuple.
            here, there = (self.grid.height, self.grid.width), (grid.height, grid.width)
            pos_embed = resize_spatial(self.pos_embed, here, there)  # (1, 1 + N, D)
            parts.append(pos_embed[:, 1:, None])
        if self.time_embed is not None:
            parts.append(resize_temporal(self.time_embed, grid.frames)[:, None])  # (1, 1, T, D)
        # First to each other, which is little: one pass over the clips' patches instead of two.
        return functools.reduce(torch.add, parts) if parts else None

    def set_grad_checkpointing(
        self, enable: bool, *, every: int = 1, keep: str = "nothing"
    ) -> None:
        """Recompute blocks in the backward pass, at most one forward more: see `Recomputed`."""
        self.recomputed = Recomputed(self.blocks, every=every, keep=keep) if enable else None

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that an optimiser may exempt from weight decay."""
        embeddings = {"pos_embed", "cls_token", "time_embed"}
        return embeddings & {name for name, _ in self.named_parameters(recurse=False)}

    def parameter_layers(self) -> dict[str, int]:
        """0 for the embeddings, 1 to depth for the blocks, depth + 1 for the norm and the head."""
        layers = dict.fromkeys((name for name, _ in self.named_parameters()), 0)
        for name in layers:
            part, *rest = name.split(".")
            if part == "blocks":
                layers[name] = int(rest[0]) + 1
            elif part in ("norm", "head"):
                layers[name] = len(self.blocks) + 1
        return layers


def init_weights(
    network: VisionTransformer,
    *,
    init_std: float,
    pos_embed_init: str,
    pos_embed_std: float,
    time_embed_init: str,
    time_embed_std: float,
    temporal_fc_zero_init: bool,
) -> None:
    """Draws every parameter anew; nothing else in the package initialises one.

    ====================  =============================================================
    cls_token             truncated normal, std 0.02
    pos_embed             `pos_embed_init` of `pos_embed_std` (normal, 0.02 as released)
    time_embed            `time_embed_init` of `time_embed_std` (zeros as released)
    patch_embed.proj      PyTorch's default for a convolution, as released
    linear layers, head   truncated normal, std `init_std` (0.02 as released); bias 0
    temporal_fc, and      zeros as released; like any linear layer if not
    width_fc, local_fc    `temporal_fc_zero_init`
    norms                 weight 1, bias 0
    ====================  =============================================================

    An embedding starts "normal" or "sincos" (`pos_embed.draw`), and as zeros where its std is 0.

    The released zeros suit an image ViT that is inflated: the network starts as that ViT on every
    frame. From scratch they mean that no order of frames can be told from another until
    `time_embed` has moved, and `temporal_attn` learns nothing until `temporal_fc` has. Likewise a
    std of 0.02 suits a width of 768; a narrow network starts with a signal that is lost in its
    layers, and about ``1 / sqrt(embed_dim)`` keeps it; places and times of about the size of the
    patches' own tokens are told apart from the first step. Sines and cosines tell near from far
    before anything is learnt, which random values do not.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            init_linear(module, init_std)
        elif isinstance(module, nn.Conv2d | nn.LayerNorm):
            module.reset_parameters()
    nn.init.trunc_normal_(network.cls_token, std=0.02)
    if network.pos_embed is not None:
        draw(network.pos_embed, network.grid[1:], pos_embed_init, pos_embed_std)
    if network.time_embed is not None:
        draw(network.time_embed, network.grid[:1], time_embed_init, time_embed_std)
    if temporal_fc_zero_init:
        for name, parameter in network.blocks.named_parameters():
            if "_fc." in name:
                nn.init.zeros_(parameter)


def init_linear(linear: nn.Linear, std: float) -> None:
    """Truncated normal weight; zero bias."""
    nn.init.trunc_normal_(linear.weight, std=std)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def classifier(dim: int, hidden_dim: int, num_classes: int) -> nn.Module:
    """From the class token to logits: one linear layer, or two around a GELU; nothing for 0."""
    if num_classes == 0:
        return nn.Identity()
    if hidden_dim == 0:
        return nn.Linear(dim, num_classes)
    fc1, fc2 = nn.Linear(dim, hidden_dim), nn.Linear(hidden_dim, num_classes)
    return nn.Sequential(OrderedDict(fc1=fc1, act=nn.GELU(), fc2=fc2))


def layer_indices(layers: Sequence[int] | None, depth: int) -> set[int]:
    """The indices of `layers` from 0; all of them for None."""
    if layers is None:
        return set(range(depth))
    if unknown := [layer for layer in layers if not -depth <= layer < depth]:
        raise UserError(f"There is no layer {unknown[0]}: the network has {depth}, from 0.")
    return {layer % depth for layer in layers}


def embedding(length: int, dim: int) -> nn.Parameter:
    """A learnt table (1, length, D), without values until `init_weights`."""
    return nn.Parameter(torch.empty(1, length, dim))


def stochastic_depth(last_rate: float, depth: int) -> list[float]:
    """One drop path rate per block, linear from 0 to `last_rate`."""
    if not 0.0 <= last_rate < 1.0:
        raise UserError(f"drop_path_rate is {last_rate}; it must be at least 0 and less than 1.")
    # Plain arithmetic: a tensor here would not have values on the meta device.
    return [last_rate * layer / max(depth - 1, 1) for layer in range(depth)]


def token_grid(num_frames: int, img_size: int | Sequence[int], patch_size: int) -> TokenGrid:
    """Frames, rows and columns of patches; UserError unless the patches fill the frame."""
    height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
    check_divisible(height, width, patch_size)
    return TokenGrid(num_frames, height // patch_size, width // patch_size)
