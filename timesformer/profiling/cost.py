"""What a model costs: parameters, tokens, multiply-adds, and what it keeps for the backward pass.

Nothing here computes with data: models live on the meta device or hold fake tensors, so that the
largest is looked at in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from timesformer.errors import UserError
from timesformer.models.build import VideoClassifier
from timesformer.models.layers import Attention
from timesformer.models.transformer import VisionTransformer
from timesformer.profiling.fakes import make_fake
from timesformer.profiling.flops import (
    BLOCK_WORK,
    ClipSize,
    formula_flops,
    grid_of,
    layers_of,
    measured_flops,
    nominal_flops,
    num_tokens,
    scheme_of,
)


@dataclass(frozen=True)
class Cost:
    """Of one clip. FLOPs are multiply-adds, as the paper counts them."""

    parameters: int
    tokens: int | None
    """None for a model that is no TimeSformer."""
    measured_flops: int
    """Of what is computed, which is less than papers count."""
    formula_flops: int | None
    """The same by the formula; None where there is none for the model."""
    nominal_flops: int | None
    """As papers count: every block in full."""
    uncounted: tuple[str, ...]
    """Operators that `measured_flops` may have missed; empty if all is well."""
    kept_bytes: int
    kept_bytes_checkpointed: int | None
    """None for a model without activation checkpointing."""

    @property
    def difference(self) -> float | None:
        """Of the measured FLOPs to those of the formula, relative to these."""
        return self.measured_flops / self.formula_flops - 1 if self.formula_flops else None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"difference": self.difference}


def cost_of(
    build: Callable[[], VideoClassifier], clip: ClipSize, train_clip: ClipSize | None = None
) -> Cost:
    """The cost of the model that `build` returns, which is built on the meta device.

    Args:
        build: makes a model with random weights.
        clip: what tokens and FLOPs are counted for.
        train_clip: what memory is measured for; `clip` if None.
    """
    with torch.device("meta"):
        model = build()
    flops, uncounted = measured_flops(model, clip)
    tokens, expected_flops, nominal = expected(model, clip)
    kept, kept_checkpointed = kept_in_training(model, train_clip or clip)
    return Cost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        tokens=tokens,
        measured_flops=flops,
        formula_flops=expected_flops,
        nominal_flops=nominal,
        uncounted=uncounted,
        kept_bytes=kept,
        kept_bytes_checkpointed=kept_checkpointed,
    )


def expected(model: nn.Module, clip: ClipSize) -> tuple[int | None, int | None, int | None]:
    """Tokens, and multiply-adds by the formula, computed and nominal, of the TimeSformer in it."""
    for network in model.modules():
        if isinstance(network, VisionTransformer):
            scheme, grid = scheme_of(network), grid_of(network, clip)
            tokens, layers = num_tokens(scheme, grid), layers_of(network)
            if scheme not in BLOCK_WORK:
                return tokens, None, None
            computed = formula_flops(scheme, grid, layers)
            return tokens, computed, nominal_flops(scheme, grid, layers)
    return None, None, None


def kept_in_training(model: VideoClassifier, clip: ClipSize) -> tuple[int, int | None]:
    """`kept_bytes` of one clip in float32, without and with activation checkpointing.

    Takes place on fake CPU tensors: they have sizes but no data, and PyTorch chooses for them the
    fused attention that it would choose for real ones. Attention dropout is switched off, because
    for its sake the CPU, and no GPU, would hold the S x S matrix.

    Args:
        model: on the meta device; its parameters are fake afterwards. The second number is None if
            it does not have checkpointing.
    """
    for module in model.modules():
        if isinstance(module, Attention):
            module.attn_drop_rate = 0.0
    with FakeTensorMode():
        make_fake(model.train())
        inputs = torch.empty(1, *clip)
        model.set_grad_checkpointing(False)
        kept = kept_bytes(model, inputs)
        try:
            model.set_grad_checkpointing(True)
        except UserError:
            return kept, None
        return kept, kept_bytes(model, inputs)


def kept_bytes(model: nn.Module, clip: Tensor) -> int:
    """Bytes that autograd keeps between the forward pass of `clip` and its backward pass.

    Every storage counts once, however many operations keep it or a view of it. The clip's patches
    count, parameters and buffers do not; nor does what is not kept: the loss, gradients, the
    optimiser, what a kernel needs while it runs, the allocator's rounding. With checkpointing these
    are the inputs of the blocks; in the backward pass one block's activations at a time come on
    top. Twice the clips keep twice the bytes. Recurrent layers keep a workspace too, whose size is
    their library's affair and is not seen on fake tensors.
    """
    own = {part.untyped_storage()._cdata for part in [*model.parameters(), *model.buffers()]}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model(clip)
    return sum(storage.nbytes() for storage in kept.values())
