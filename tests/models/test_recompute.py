"""Every rung of the memory ladder computes the same to the bit, and keeps what it says."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.distributed import test_sharding as sharding
from tests.models.tiny import FROM_SCRATCH, GEOMETRY, clip, tiny_cfg
from tests.torch_versions import needs_fsdp
from timesformer.errors import UserError
from timesformer.models import MODEL_REGISTRY, TimeSformer
from timesformer.models.attention import ATTENTION_SCHEMES
from timesformer.models.build import build_model
from timesformer.models.recompute import ATTENTION, KEEP, draws
from timesformer.profiling.cost import kept_bytes

RUNGS: list[dict[str, Any]] = [
    *({"every": every, "keep": keep} for every in (1, 2) for keep in KEEP),
    {"every": 3},
]
DROPOUT = {"drop_rate": 0.1, "attn_drop_rate": 0.1, "drop_path_rate": 0.5}


def build(scheme: str, **changes: Any) -> TimeSformer:
    """Of odd sides, the same weights on every call."""
    torch.manual_seed(0)
    odd = {"depth": 3, "num_frames": 3, "img_size": (24, 40), "attention_type": scheme}
    return TimeSformer(**{**GEOMETRY, **FROM_SCRATCH, **odd, **changes})


def step(model: nn.Module, arithmetic: AbstractContextManager[Any] | None = None) -> list[Tensor]:
    """Logits and all gradients of a clip, with random numbers from the same seed."""
    torch.manual_seed(3)
    with arithmetic or nullcontext():
        logits = model(clip(frames=3, height=24, width=40))
    logits.float().square().sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    return [logits, *(gradient for gradient in gradients if gradient is not None)]


def equal(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("dropout", [{}, DROPOUT], ids=["plain", "dropout"])
@pytest.mark.parametrize("scheme", ATTENTION_SCHEMES.names())
def test_every_rung_gives_the_same_gradients(scheme: str, dropout: dict[str, float]) -> None:
    plain = step(build(scheme, **dropout))
    for rung in RUNGS:
        model = build(scheme, **dropout)
        model.set_grad_checkpointing(True, **rung)
        assert equal(step(model), plain), rung


@pytest.mark.parametrize("keep", KEEP)
@pytest.mark.parametrize("scheme", ATTENTION_SCHEMES.names())
def test_the_same_in_bfloat16(scheme: str, keep: str) -> None:
    plain, model = build(scheme, **DROPOUT), build(scheme, **DROPOUT)
    model.set_grad_checkpointing(True, keep=keep)
    low, again = (torch.autocast("cpu", torch.bfloat16) for _ in range(2))
    assert equal(step(model, low), step(plain, again))


def test_two_backward_passes_of_one_step_add_up() -> None:
    """Accumulation: contexts of one pass must not be left to the next."""
    plain, model = build("divided_space_time"), build("divided_space_time")
    model.set_grad_checkpointing(True, keep="matmul")
    for network in (plain, model):
        step(network)
    assert equal(step(model), step(plain))


@pytest.mark.parametrize("scheme", ATTENTION_SCHEMES.names())
def test_rungs_lie_between_nothing_and_all(scheme: str) -> None:
    model = build(scheme, depth=6)
    inputs = clip(frames=3, height=24, width=40)
    kept = [kept_bytes(model, inputs)]
    for rung in ({"every": 2}, {"every": 1}):
        model.set_grad_checkpointing(True, **rung)
        kept.append(kept_bytes(model, inputs))
    assert kept == sorted(kept, reverse=True)
    assert kept[2] < kept[1] < kept[0]


class Counting(torch.utils._python_dispatch.TorchDispatchMode):
    """How often each operator is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        self.calls[name] = self.calls.get(name, 0) + 1
        return func(*args, **(kwargs or {}))


def computed_again(**rung: Any) -> dict[str, int]:
    """How often a step computes each operator more than one without recomputation."""
    counts = []
    for enable in (False, True):
        model = build("divided_space_time", depth=4)
        model.set_grad_checkpointing(enable, **(rung if enable else {}))
        with Counting() as counting:
            step(model)
        counts.append(counting.calls)
    return {name: number - counts[0].get(name, 0) for name, number in counts[1].items()}


def test_what_is_kept_is_not_computed_again() -> None:
    attention = "_scaled_dot_product_flash_attention_for_cpu"
    nothing, half = computed_again(), computed_again(every=2)
    assert nothing[attention] == 8  # two in each of four blocks
    assert half[attention] == 4
    kept = computed_again(keep="attention")
    assert kept[attention] == 0
    assert kept["addmm"] == nothing["addmm"]
    widest = computed_again(keep="matmul")
    assert widest[attention] == 0
    # Of six in a block, the three that do not widen.
    assert 12 <= widest["addmm"] < nothing["addmm"] - 8
    assert widest["native_layer_norm"] == nothing["native_layer_norm"]


def test_attention_with_dropout_draws() -> None:
    """Such an operator must not be left out: random numbers after it would be others."""
    fused = [op for op in ATTENTION if "scaled_dot_product" in str(op)]
    assert len(fused) == 5
    for op in fused:
        assert draws(op, (), {"dropout_p": 0.1})
        assert not draws(op, (), {"dropout_p": 0.0})
    efficient = torch.ops.aten._scaled_dot_product_efficient_attention.default
    assert draws(efficient, (None, None, None, None, True, 0.1), {})
    assert not draws(efficient, (None, None, None, None, True), {})


@pytest.mark.slow
@pytest.mark.parametrize("keep", KEEP)
def test_compiled_as_a_whole_it_is_the_same_network(keep: str) -> None:
    plain, model = build("divided_space_time"), build("divided_space_time")
    model.set_grad_checkpointing(True, keep=keep)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=False)
    for one, other in zip(step(compiled), step(plain), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def train_every_way(shared: bool) -> None:
    """In a process of several: with and without recomputation, a few steps of two passes each."""
    plain = sharding.Run(shared=False, drop_path_rate=0.2)
    losses = [plain.step(number) for number in range(3)]
    for rung in ({"keep": "matmul"}, {"keep": "attention", "every": 2}):
        run = sharding.Run(shared=shared, drop_path_rate=0.2)
        run.model.set_grad_checkpointing(True, **rung)
        again = [run.step(number) for number in range(3)]
        assert again == (pytest.approx(losses, abs=1e-6) if shared else losses)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shared", [pytest.param(False, id="ddp"), pytest.param(True, id="fsdp", marks=needs_fsdp)]
)
def test_several_processes(shared: bool) -> None:
    sharding.on_processes(train_every_way, 2, shared)


def test_rungs_by_config() -> None:
    keys = {"TIMESFORMER__CHECKPOINT_EVERY": 2, "TIMESFORMER__CHECKPOINT_KEEP": "attention"}
    model = build_model(tiny_cfg(TIMESFORMER__GRAD_CHECKPOINTING=True, **keys)).model
    assert model.recomputed.blocks == [model.blocks[0]]
    assert model.recomputed.keep == "attention"
    for name, value in keys.items():
        with pytest.raises(UserError, match="GRAD_CHECKPOINTING False recomputes no block"):
            tiny_cfg(**{name: value})
    with pytest.raises(UserError, match="TRAIN.COMPILE block hides"):
        tiny_cfg(TIMESFORMER__GRAD_CHECKPOINTING=True, TRAIN__COMPILE="block", **keys)


@pytest.mark.parametrize("rung", [{"every": 0}, {"keep": "everything"}])
def test_rungs_that_do_not_exist_are_refused(rung: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="`keep` one of nothing, attention, matmul"):
        build("divided_space_time").set_grad_checkpointing(True, **rung)


@pytest.mark.parametrize("rung", [{"every": 2}, {"keep": "attention"}])
def test_a_model_without_transformer_blocks_refuses_rungs(rung: dict[str, Any]) -> None:
    model = MODEL_REGISTRY.get("resnet18_average")(num_classes=5)
    with pytest.raises(UserError, match="this model has none: use 1 and nothing"):
        model.set_grad_checkpointing(True, **rung)
