"""Blocks that are computed again in the backward pass, and what they keep of the forward pass.

Of two ways to save memory, keeping little and recomputing much, there are rungs between: every
second block alone may be computed again, and a block that is may keep what is dear to compute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils.checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from timesformer.errors import UserError

aten = torch.ops.aten

ATTENTION = {
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_flash_attention.default,
    aten._scaled_dot_product_efficient_attention.default,
    aten._scaled_dot_product_cudnn_attention.default,
    aten._scaled_dot_product_fused_attention_overrideable.default,
    # What it is made of where there is no fused kernel for it.
    aten.bmm.default,
    aten._softmax.default,
    aten._safe_softmax.default,
}
LINEAR = {aten.mm.default: 0, aten.addmm.default: 1}
"""And which argument has the tokens, (number, width)."""


class Recomputed:
    """Calls blocks so that their activations are computed again in the backward pass.

    What comes out is the same to the bit: random numbers are drawn again as they were.

    Args:
        blocks: those of a network, in order; the first and each `every`-th after it are recomputed.
            So the last one, which computes little, is spared first.
        keep: "nothing" but the block's input; "attention", the outcomes of attention, too, which
            long sequences make dear; or "matmul", also those of the linear layers that widen the
            tokens (queries, keys and values; the first of the MLP). The others are not needed in
            the backward pass itself, and most of them not to compute what is.
    """

    def __init__(
        self, blocks: Iterable[nn.Module], *, every: int = 1, keep: str = "nothing"
    ) -> None:
        if every < 1 or keep not in KEEP:
            raise UserError(
                f"Activations cannot be recomputed with every={every} and keep='{keep}': `every` "
                f"is at least 1, and `keep` one of {', '.join(KEEP)}."
            )
        self.blocks = list(blocks)[::every]
        self.keep = keep

    def __call__(self, block: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        if not any(block is one for one in self.blocks):
            return block(*args, **kwargs)
        if self.keep == "nothing":
            return checkpoint(block, *args, use_reentrant=False, **kwargs)
        # torch.compile knows this very form of it.
        contexts = partial(create_selective_checkpoint_contexts, POLICIES[self.keep])
        return checkpoint(block, *args, use_reentrant=False, context_fn=contexts, **kwargs)


def keep_attention(
    context: SelectiveCheckpointContext, op: OpOverload, *args: Any, **kwargs: Any
) -> CheckpointPolicy:
    # An operator that is left out draws nothing, which would change all that is drawn after it.
    if op in ATTENTION and not draws(op, args, kwargs):
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE


def keep_matmul(
    context: SelectiveCheckpointContext, op: OpOverload, *args: Any, **kwargs: Any
) -> CheckpointPolicy:
    if op in LINEAR and widens(*args[LINEAR[op] :][:2]):
        return CheckpointPolicy.MUST_SAVE
    return keep_attention(context, op, *args, **kwargs)


POLICIES = {"attention": keep_attention, "matmul": keep_matmul}
KEEP = ("nothing", *POLICIES)


def draws(op: OpOverload, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether an attention has dropout."""
    names = [argument.name for argument in op._schema.arguments]
    return bool((dict(zip(names, args, strict=False)) | kwargs).get("dropout_p"))


def widens(tokens: Tensor, weight: Tensor) -> bool:
    """(number, width) times (width, new width)."""
    return weight.shape[1] > tokens.shape[1]
