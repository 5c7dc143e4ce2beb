"""The TimeSformer network (arXiv 2102.05095): embed the patches, run the blocks, read the class.

Dimensions: B batch, C channels, T frames, H W pixels, h w rows and columns of patches, N = h*w
patches, D width, P patch side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from timesformer.errors import UserError
from timesformer.models.attention import ATTENTION_SCHEMES, LAYER_NORM_EPS, BlockSpec, TokenGrid
from timesformer.models.layers import PatchEmbed, check_divisible
from timesformer.models.pos_embed import resize_spatial, resize_temporal


class VisionTransformer(nn.Module):
    """A ViT over the patches of a clip, with one of the attention schemes of the paper.

    Parameter names are those of the released checkpoints. Construction draws random weights and
    nothing else: no download, no device, no global state but PyTorch's generator.

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
        init_std, pos_embed_std, time_embed_std, temporal_fc_zero_init: see `init_weights`.

    Raises:
        UserError: unknown `attention_type`, or a geometry that does not divide.
    """

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
        init_std: float = 0.02,
        pos_embed_std: float = 0.02,
        time_embed_std: float = 0.0,
        temporal_fc_zero_init: bool = True,
    ) -> None:
        super().__init__()
        scheme = ATTENTION_SCHEMES.get(attention_type)
        self.per_frame = scheme.per_frame
        self.grid = token_grid(num_frames, img_size, patch_size)
        self.grad_checkpointing = False

        self.patch_embed = PatchEmbed(patch_size, in_chans, embed_dim)
        self.cls_token = embedding(1, embed_dim)
        self.pos_embed = embedding(1 + self.grid.patches, embed_dim)
        self.time_embed = None if self.per_frame else embedding(num_frames, embed_dim)
        self.pos_drop = nn.Dropout(drop_rate)
        spec = BlockSpec(embed_dim, num_heads, mlp_ratio, qkv_bias, drop_rate, attn_drop_rate)
        rates = stochastic_depth(drop_path_rate, depth)
        self.blocks = nn.ModuleList(scheme(spec, rate) for rate in rates)
        self.norm = nn.LayerNorm(embed_dim, eps=LAYER_NORM_EPS)
        self.head = nn.Linear(embed_dim, num_classes) if num_classes else nn.Identity()
        init_weights(
            self,
            init_std=init_std,
            pos_embed_std=pos_embed_std,
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
            if self.grad_checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, grid, use_reentrant=False)
            else:
                tokens = block(tokens, grid)
        cls_token = tokens[:, 0]  # (B, D), or (B*T, D) per frame
        if self.per_frame:
            # As released, the frames are averaged before the norm and not after it.
            cls_token = cls_token.unflatten(0, (-1, grid.frames)).mean(dim=1)  # (B, D)
        return self.norm(cls_token)

    def embed(self, clip: Tensor) -> tuple[Tensor, TokenGrid]:
        """Tokens with their place and time, in the shape the blocks take (paper eq. 1)."""
        patches = self.patch_embed(clip)  # (B, T, h, w, D)
        grid = TokenGrid(*patches.shape[1:4])
        pos_embed = resize_spatial(self.pos_embed, self.grid[1:], grid[1:])  # (1, 1 + N, D)
        patches = patches.flatten(2, 3) + pos_embed[:, 1:]  # (B, T, N, D)
        if self.time_embed is None:
            patches = patches.flatten(0, 1)  # (B*T, N, D)
        else:
            time_embed = resize_temporal(self.time_embed, grid.frames)  # (1, T, D)
            patches = patches + time_embed[:, :, None]  # (B, T, N, D)
            patches = patches.transpose(1, 2).flatten(1, 2)  # (B, N*T, D)
        cls_token = (self.cls_token + pos_embed[:, :1]).expand(patches.shape[0], -1, -1)
        return self.pos_drop(torch.cat([cls_token, patches], dim=1)), grid

    def set_grad_checkpointing(self, enable: bool) -> None:
        """Recompute each block in the backward pass: one forward more, one block's memory."""
        self.grad_checkpointing = enable

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that an optimiser may exempt from weight decay."""
        embeddings = {"pos_embed", "cls_token", "time_embed"}
        return embeddings & {name for name, _ in self.named_parameters(recurse=False)}


def init_weights(
    network: VisionTransformer,
    *,
    init_std: float,
    pos_embed_std: float,
    time_embed_std: float,
    temporal_fc_zero_init: bool,
) -> None:
    """Draws every parameter anew; nothing else in the package initialises one.

    ====================  =============================================================
    cls_token             truncated normal, std 0.02
    pos_embed             truncated normal, std `pos_embed_std` (0.02 as released)
    time_embed            zeros as released; normal of `time_embed_std` where that is > 0
    patch_embed.proj      PyTorch's default for a convolution, as released
    linear layers, head   truncated normal, std `init_std` (0.02 as released); bias 0
    temporal_fc           zeros as released; like any linear layer if not `temporal_fc_zero_init`
    norms                 weight 1, bias 0
    ====================  =============================================================

    The released zeros suit an image ViT that is inflated: the network starts as that ViT on every
    frame. From scratch they mean that no order of frames can be told from another until
    `time_embed` has moved, and `temporal_attn` learns nothing until `temporal_fc` has. Likewise a
    std of 0.02 suits a width of 768; a narrow network starts with a signal that is lost in its
    layers, and about ``1 / sqrt(embed_dim)`` keeps it; places and times of about the size of the
    patches' own tokens are told apart from the first step.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            init_linear(module, init_std)
        elif isinstance(module, nn.Conv2d | nn.LayerNorm):
            module.reset_parameters()
    nn.init.trunc_normal_(network.cls_token, std=0.02)
    nn.init.trunc_normal_(network.pos_embed, std=pos_embed_std)
    if network.time_embed is not None:
        nn.init.normal_(network.time_embed, std=time_embed_std)
    if temporal_fc_zero_init:
        for name, parameter in network.named_parameters():
            if ".temporal_fc." in name:
                nn.init.zeros_(parameter)


def init_linear(linear: nn.Linear, std: float) -> None:
    """Truncated normal weight; zero bias."""
    nn.init.trunc_normal_(linear.weight, std=std)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


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
