"""What `benchmarks.model` measures: for which network, which task, in which ways.

A preset is a list of cases, the ones that matter most first, because time may run out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.machine import BF16_FLAGS
from benchmarks.peers import LUCIDRAINS, OURS, TRANSFORMERS, knows
from benchmarks.steps import (
    BY_BLOCK,
    CHECKPOINTED,
    COMPILED,
    EAGER,
    FOLDED,
    FROZEN,
    GRAPHS,
    KEPT,
)

SCHEMES = (
    "divided_space_time",
    "space_only",
    "joint_space_time",
    "sparse_local_global",
    "axial",
)

MODELS: dict[str, dict[str, Any]] = {
    "smallest": {
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 2,
        "num_frames": 2,
        "img_size": 32,
        "num_classes": 10,
    },
    "tiny": {"embed_dim": 192, "depth": 12, "num_heads": 3, "num_frames": 8, "img_size": 224},
    "base": {"num_frames": 8, "img_size": 224},
    "HR": {"num_frames": 16, "img_size": 448},
    "L": {"num_frames": 96, "img_size": 224},
}

FOLDED_COMPILED = f"{FOLDED}, {COMPILED}"
FOLDED_FROZEN = f"{FOLDED}, {COMPILED}, {FROZEN}"


@dataclass(frozen=True)
class Way:
    """Whose network, what is done to it (see `steps.prepared`), in which arithmetic."""

    who: str
    how: str
    precision: str

    @property
    def name(self) -> str:
        return f"{self.who}, {self.how}, {self.precision}"


@dataclass(frozen=True)
class Case:
    """`batch` None: the largest that fits, up to `most`, for the greediest of the ways."""

    model: str
    scheme: str
    task: str
    ways: Sequence[Way]
    batch: int | None = 1
    most: int = 1

    @property
    def geometry(self) -> dict[str, Any]:
        return {**MODELS[self.model], "attention_type": self.scheme}

    @property
    def width(self) -> int:
        """Of a token; that of the base network where none is said."""
        return self.geometry.get("embed_dim", 768)


def ways(*groups: tuple[str, Sequence[str], Sequence[str]]) -> list[Way]:
    """Of each (who, hows, precisions) all combinations."""
    return [
        Way(who, how, precision)
        for who, hows, precisions in groups
        for precision in precisions
        for how in hows
    ]


def presets(name: str, flags: Sequence[str]) -> list[Case]:
    """The cases of a preset for a processor with `flags`."""
    return {"smallest": smallest, "cpu": cpu, "gpu": gpu}[name](flags)


def smallest(flags: Sequence[str]) -> list[Case]:
    divided = SCHEMES[0]
    both = ways((OURS, [EAGER, COMPILED], ["fp32"]), (TRANSFORMERS, [EAGER], ["fp32"]))
    folded = ways((OURS, [FOLDED], ["fp32", "bf16"]), (LUCIDRAINS, [EAGER], ["fp32"]))
    return [
        Case("smallest", divided, "inference", [*both, *folded], batch=2),
        Case("smallest", divided, "training", eager_ways(divided, ["fp32", "bf16"]), batch=2),
        *(
            Case("smallest", scheme, task, eager_ways(scheme, ["fp32"]), batch=2)
            for scheme in SCHEMES[1:]
            for task in ("inference", "training")
        ),
    ]


def cpu(flags: Sequence[str]) -> list[Case]:
    """Inference at batch 1, and a step of training of every scheme at a size that bears it."""
    divided = SCHEMES[0]
    fp32 = ways(
        (OURS, [EAGER, FOLDED, COMPILED, FOLDED_COMPILED, FOLDED_FROZEN], ["fp32"]),
        (TRANSFORMERS, [EAGER, COMPILED, f"{COMPILED}, {FROZEN}"], ["fp32"]),
        (LUCIDRAINS, [EAGER, COMPILED], ["fp32"]),
    )
    both = ways(
        (OURS, [FOLDED, FOLDED_FROZEN], ["fp32", "bf16"]), (TRANSFORMERS, [EAGER], ["bf16"])
    )
    # Without these instructions bfloat16 takes minutes for a clip, to show that it does.
    has_bf16 = any(flag in flags for flag in BF16_FLAGS)
    return [
        Case("base", divided, "inference", fp32),
        Case("base" if has_bf16 else "tiny", divided, "inference", both),
        *(Case("tiny", scheme, "training", eager_ways(scheme, ["fp32"])) for scheme in SCHEMES),
        *(Case("tiny", scheme, "inference", eager_ways(scheme, ["fp32"])) for scheme in SCHEMES),
        Case("tiny", divided, "training", compiled_training(["fp32"])),
    ]


def gpu(flags: Sequence[str]) -> list[Case]:
    divided = SCHEMES[0]
    low, every = ["bf16"], ["bf16", "fp32", "tf32"]
    training = [
        *ways((OURS, [COMPILED, BY_BLOCK], low), (TRANSFORMERS, [COMPILED], low)),
        *ways((OURS, [EAGER], every), (TRANSFORMERS, [EAGER], every), (LUCIDRAINS, [EAGER], low)),
        Way(OURS, EAGER, "fp16"),
    ]
    long = ways((OURS, [EAGER, BY_BLOCK], low), (TRANSFORMERS, [EAGER], ["bf16", "fp32"]))
    alone = ways((OURS, [EAGER, CHECKPOINTED, KEPT], low))
    inference = [
        *ways((OURS, [FOLDED, FOLDED_COMPILED], low), (TRANSFORMERS, [EAGER, COMPILED], low)),
        *ways((OURS, [FOLDED], ["fp32", "tf32"]), (TRANSFORMERS, [EAGER], ["fp32", "tf32"])),
        *ways((LUCIDRAINS, [EAGER], low)),
    ]
    single = ways(
        (OURS, [FOLDED, f"{FOLDED_COMPILED}, {GRAPHS}"], low), (TRANSFORMERS, [EAGER], low)
    )
    return [
        Case("base", divided, "training", training, batch=None, most=32),
        Case("L", divided, "training", long, batch=None, most=4),
        Case("HR", divided, "training", long, batch=None, most=4),
        Case("L", divided, "training", alone),
        Case("HR", divided, "training", alone),
        Case("base", divided, "inference", inference, batch=None, most=64),
        *(
            Case("base", scheme, "training", eager_ways(scheme, low), batch=None, most=16)
            for scheme in SCHEMES[1:]
        ),
        *(
            Case("tiny", scheme, task, eager_ways(scheme, low), batch=None, most=64)
            for scheme in SCHEMES
            for task in ("inference", "training")
        ),
        Case("base", divided, "inference", single),
        Case("L", divided, "inference", eager_ways(divided, low), batch=None, most=4),
        Case("HR", divided, "inference", eager_ways(divided, low), batch=None, most=4),
    ]


def eager_ways(scheme: str, precisions: Sequence[str]) -> list[Way]:
    """Everybody who has the scheme."""
    everybody = [who for who in (OURS, TRANSFORMERS, LUCIDRAINS) if knows(who, scheme)]
    return ways(*((who, [EAGER], precisions) for who in everybody))


def compiled_training(precisions: Sequence[str]) -> list[Way]:
    return ways(
        (OURS, [EAGER, COMPILED, BY_BLOCK], precisions),
        (TRANSFORMERS, [EAGER, COMPILED], precisions),
    )
