"""That what is timed computes the same: same weights, same clips, same numbers.

Dimensions: B batch, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.cases import Case, Way
from benchmarks.peers import OURS, is_comparable, make
from benchmarks.steps import Inference, loss_of

EQUAL = 1e-4
"""The most by which outputs of the same weights may differ in float32."""
CLOSE = {"fp32": EQUAL, "tf32": 0.02, "fp16": 0.02, "bf16": 0.1}
"""The same for each arithmetic; but for float32 as a share of the largest logit, or of 1."""
CHUNK = 4  # clips of a forward pass

Expected = Tensor
"""What a step must return: logits (B, K), or the loss before the first step of training."""


def expectations(case: Case, pixels: Tensor) -> tuple[dict[str, Expected], dict[str, str]]:
    """What each program's eager float32 network makes of the clips; and who is not installed.

    Raises:
        AssertionError: a program with our weights gives other logits than ours.
    """
    logits: dict[str, Tensor] = {}
    missing: dict[str, str] = {}
    for who in [OURS, *{way.who: None for way in case.ways if way.who != OURS}]:
        try:
            logits[who] = eager_logits(case, who, pixels)
        except ImportError:
            missing[who] = "not installed"
            continue
        if is_comparable(who, case.scheme):
            largest = float((logits[who] - logits[OURS]).abs().max())
            assert largest <= EQUAL, f"{case.model}: {who} differs from ours by {largest}"
    if case.task == "inference":
        return logits, missing
    labels = torch.arange(len(pixels), device=pixels.device)
    return {who: loss_of(values, labels) for who, values in logits.items()}, missing


def eager_logits(case: Case, who: str, pixels: Tensor) -> Tensor:
    network = make(who, case.geometry).to(pixels.device)
    parts = [Inference(network, "eager", "fp32", part)() for part in pixels.split(CHUNK)]
    return torch.cat(parts)


def difference(outcome: Tensor, right: Expected, way: Way) -> float:
    """The largest between what a way returned and what it had to; AssertionError if too large."""
    largest = float((outcome - right).abs().max())
    scale = 1.0 if way.precision == "fp32" else max(1.0, float(right.abs().max()))
    assert largest <= CLOSE[way.precision] * scale, f"{way.name} is off by {largest}"
    return largest
