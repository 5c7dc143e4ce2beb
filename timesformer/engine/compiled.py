"""TRAIN.COMPILE: networks that PyTorch turns into faster code, in place."""

from __future__ import annotations

from textwrap import shorten

from fvcore.common.config import CfgNode
from torch import nn

from timesformer.errors import UserError

# Compilations of one function: the blocks of a network in training, in validation and in the test,
# and again where memory ran out. PyTorch's own limit is 8, for all of them together.
COMPILATIONS_OF_A_PART = 4


def compile_in_place(model: nn.Module, cfg: CfgNode) -> None:
    """Lets `model` be compiled as TRAIN.COMPILE says when it is first called; names stay.

    To be called before the model is wrapped or cut into shares.

    Raises:
        UserError: blocks are to be compiled, and the model has none.
    """
    how = cfg.TRAIN.COMPILE
    if how == "none":
        return
    import torch._dynamo.config  # seconds of imports, for who needs them

    from timesformer.distributed.sharding import blocks

    parts = list(blocks(model)) if how == "block" else [model]
    if not parts:
        raise UserError(
            f"TRAIN.COMPILE is block, but {cfg.MODEL.MODEL_NAME} has no blocks that could be "
            "compiled one by one: use model, or none"
        )
    limit = COMPILATIONS_OF_A_PART * len(parts)
    # Its name before torch 2.7, which still stands for the new one.
    torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, limit)
    for part in parts:
        part.compile(fullgraph=True, dynamic=False)


def describe_compilation(cfg: CfgNode) -> str:
    """Why the first step will take long, for the log; '' where nothing is compiled."""
    if cfg.TRAIN.COMPILE == "none":
        return ""
    return (
        "the network is compiled in the first step and the first pass of validation, which takes "
        f"from seconds to minutes (TRAIN.COMPILE {cfg.TRAIN.COMPILE})"
    )


def what_failed(error: BaseException) -> str | None:
    """What to say where the compiler failed, and not what it made; None for any other error."""
    if not type(error).__module__.startswith(("torch._dynamo.", "torch._inductor.")):
        return None
    return (
        f"TRAIN.COMPILE: PyTorch could not compile the network ({first_words(error)}). It needs a "
        "C++ compiler for a CPU (g++, or what CXX names), and Triton and a C compiler for a GPU. "
        "TRAIN.COMPILE none does without; TORCHDYNAMO_VERBOSE=1 and TORCH_LOGS tell more."
    )


def first_words(error: BaseException) -> str:
    """What an error says, without the advice and the stack that PyTorch adds."""
    lines = [line.strip() for line in str(error).splitlines()]
    end = lines.index("") if "" in lines else len(lines)
    words = " ".join(line for line in lines[:end])
    return shorten(words, 300, placeholder=" …")
