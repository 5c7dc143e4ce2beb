"""What is timed of a network: a forward pass, or a step of training, in one arithmetic.

Dimensions: B batch, C channels, T frames, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from timesformer.engine.prepare import Runtime
from timesformer.models.fold import folded

MEAN, STD = (0.45,) * 3, (0.225,) * 3
LEARNING_RATE = 1e-5

# What may be done to a network, by the words in the name of a way.
FOLDED, CHECKPOINTED, KEPT = "folded", "recomputed", "recomputed but matmuls"
COMPILED, BY_BLOCK, FROZEN, GRAPHS = "compiled", "compiled by block", "frozen", "CUDA graphs"
EAGER = "eager"


def prepared(network: nn.Module, how: str) -> nn.Module:
    """`network` with all that `how` says, a list of the words above with commas; eager is none.

    The compiler does its work in the first call, which `compiling` must surround.
    """
    words = how.split(", ")
    if FOLDED in words:
        network = folded(network, mean=MEAN, std=STD)
    if CHECKPOINTED in words:
        network.set_grad_checkpointing(True)
    if KEPT in words:
        network.set_grad_checkpointing(True, keep="matmul")
    if BY_BLOCK in words:
        for block in network.model.blocks:
            block.compile(fullgraph=True, dynamic=False)
    if COMPILED in words:
        mode = "reduce-overhead" if GRAPHS in words else None
        return torch.compile(network, dynamic=False, mode=mode)
    return network


def compiling(how: str) -> AbstractContextManager[Any]:
    """Inside, what is compiled may take the weights for constants, if `how` says so."""
    if FROZEN not in how:
        return nullcontext()
    import torch._inductor.config

    return torch._inductor.config.patch(freezing=True)


def set_arithmetic(precision: str) -> None:
    """Process-wide, as `engine.prepare` sets it for a run."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


class Inference:
    """Logits of clips, without gradients."""

    def __init__(self, network: nn.Module, how: str, precision: str, pixels: Tensor) -> None:
        self.network = prepared(network.eval(), how)
        self.runtime = Runtime(pixels.device, precision)
        # Normalised before the clock starts, but for a network that does it itself.
        self.clips = pixels if FOLDED in how else normalised(pixels)

    def __call__(self) -> Tensor:
        """(B, K)."""
        set_arithmetic(self.runtime.precision)
        with torch.no_grad(), self.runtime.autocast():
            return self.network(self.clips)

    outcome = __call__

    def resident(self) -> list[Tensor]:
        return list(self.network.parameters())


class Training:
    """Forward, loss, backward, optimiser: fused AdamW for everybody."""

    def __init__(self, network: nn.Module, how: str, precision: str, pixels: Tensor) -> None:
        self.network = prepared(network.train(), how)
        self.runtime = Runtime(pixels.device, precision)
        self.scaler = self.runtime.scaler()
        self.clips = normalised(pixels)
        self.labels = torch.arange(len(pixels), device=pixels.device)
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, fused=True)

    def __call__(self) -> Tensor:
        """The loss before the step."""
        set_arithmetic(self.runtime.precision)
        with self.runtime.autocast():
            logits = self.network(self.clips)
        loss = loss_of(logits, self.labels)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    outcome = __call__

    def resident(self) -> list[Tensor]:
        moments = [
            value
            for state in self.optimizer.state.values()
            for value in state.values()
            if isinstance(value, Tensor)
        ]
        return [*self.network.parameters(), *moments]


Step = Inference | Training
TASKS: dict[str, type[Inference] | type[Training]] = {
    "inference": Inference,
    "training": Training,
}


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.float(), labels % logits.shape[1])


def normalised(pixels: Tensor) -> Tensor:
    """uint8 (B, C, T, H, W) to float."""
    mean, std = (torch.tensor(v, device=pixels.device).view(3, 1, 1, 1) for v in (MEAN, STD))
    return (pixels.float() / 255 - mean) / std


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def runs_alone(device: torch.device) -> bool:
    """Whether one thread does all the work: its CPU time is then what other work disturbs least."""
    return device.type == "cpu" and torch.get_num_threads() == 1


def peak_bytes(step: Step, device: torch.device, before: int) -> int:
    """Memory that a step needs at its worst, weights and optimiser state among it.

    On a GPU what PyTorch's allocator has given out, without the `before` that others had of it. On
    a CPU weights, state, and the most that PyTorch had allocated at a time within the step; what
    oneDNN allocates for itself is not seen.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        step()
        wait_for(device)
        return torch.cuda.max_memory_allocated(device) - before
    resident = sum(tensor.untyped_storage().nbytes() for tensor in step.resident())
    return resident + peak_of_allocations(step)


def peak_of_allocations(run: Callable[[], object]) -> int:
    """The most bytes that `run` has allocated and not freed at a time, on the CPU."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
        run()
    outcome = profiler.profiler.kineto_results
    changes = [event for event in outcome.events() if event.name() == "[memory]"]
    held = peak = 0
    for change in sorted(changes, key=lambda event: event.start_ns()):
        held += change.nbytes()
        peak = max(peak, held)
    return peak


def executed_flops(make: Callable[[], nn.Module], how: str, task: str, clip: Any) -> int:
    """Operations (two for a multiply-add) of the matrix products that one clip really takes.

    Counted on the meta device, eagerly: no compiler leaves any out.
    """
    eager = ", ".join(word for word in how.split(", ") if word in (FOLDED, CHECKPOINTED, KEPT))
    with torch.device("meta"):
        network = prepared(make().train(task == "training"), eager)
        inputs = torch.empty(1, *clip, dtype=torch.uint8 if FOLDED in how else torch.float32)
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(task == "training"):
        logits = network(inputs)
        if task == "training":
            logits.sum().backward()
    return counter.get_total_flops()
