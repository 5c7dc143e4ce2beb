"""Predicts how much memory a step of training needs at its greatest moment, without needing it.

A step is taken on fake tensors, which have sizes and no data: normalisation, forward pass, loss,
backward pass, optimiser. `Lifetimes` follows every tensor. The step is that of a run that is under
way: the optimiser has its state, and the gradients of the last step are gone.

Fake tensors of a GPU cannot go through a backward pass where there is no GPU. So they are always
the CPU's, with autocast's rules of the CPU, which treat this package's networks as those of a GPU
do, and what is otherwise on a GPU is added: see `hidden_on_gpu` and the constants.

Not counted: the CUDA context and NCCL (`OUTSIDE`), augmentation on the device, workspaces of
convolutions, what torch.compile changes, and on a CPU what other threads and processes hold (the
loader, a checkpoint that is being written).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from timesformer.datasets.build import normalizer
from timesformer.datasets.on_device import Normalizer
from timesformer.engine.prepare import AUTOCAST, Runtime, train_batch
from timesformer.models.build import build_model
from timesformer.models.layers import Attention
from timesformer.optim import LOSS_REGISTRY, build_optimizer
from timesformer.profiling.fakes import make_fake
from timesformer.profiling.lifetimes import PARTS, Lifetimes

if TYPE_CHECKING:
    from yacs.config import CfgNode

CPU = torch.device("cpu")

PRIMES = (1009, 1013, 1019, 1021)
"""Numbers of clips; see `clips_beside`."""

GPU_QUANTUM, CPU_QUANTUM = 512, 64
"""Bytes of which PyTorch's allocators hand out multiples."""

CUBLAS_WORKSPACE = 32 * 2**20
"""What cuBLAS asks PyTorch for on a Hopper GPU, once for each of the two threads of a step; less on
older ones."""

OUTSIDE = 600_000_000
"""About what the CUDA context, loaded kernels and NCCL take of a GPU: no tensors, and not part of a
prediction."""

FLASH_ROWS, FLASH_COLUMNS = 128, 32
"""FlashAttention's backward pass adds up the gradients of the queries in float32, in a buffer whose
sides are multiples of these for each head and sequence, however short it is."""

EXCHANGED_BLOCKS = 4
"""With TRAIN.PARALLEL fsdp, blocks of which this process has all weights or gradients for a moment:
the one that computes, the next as it comes and in pieces, and gradients on their way."""


@dataclass(frozen=True)
class StepMemory:
    """Of a step, in bytes: what every moment needs and, for some number of clips, its greatest."""

    lasting: dict[str, int]
    """Weights, optimiser state and the like, which are there all the time."""
    moments: np.ndarray
    """(M, parts, 2) as `Lifetimes` has them."""

    def peak(self, clips: int) -> int:
        return sum(self.parts(clips).values())

    def parts(self, clips: int) -> dict[str, int]:
        """What the greatest moment of a step of `clips` consists of."""
        by_part = self.moments[..., 0] + clips * self.moments[..., 1]  # (M, parts)
        greatest = by_part[by_part.sum(axis=1).argmax()]
        parts = dict(self.lasting)
        for part, size in zip(PARTS, greatest.tolist(), strict=True):
            parts[part] = parts.get(part, 0) + size
        return parts

    def most_clips(self, room: int) -> int:
        """The largest number of clips whose step needs no more than `room` bytes; 0 if none."""
        fixed, each = self.moments.sum(axis=1).T  # (M,), (M,)
        left = room - sum(self.lasting.values()) - fixed
        if (left < 0).any():
            return 0
        return int((left[each > 0] // each[each > 0]).min())


@dataclass(frozen=True)
class Processes:
    """How a run is spread over `number` processes, and the clips that one has in a pass."""

    number: int
    clips: int
    passes: int
    in_shares: bool

    @classmethod
    def of(cls, cfg: CfgNode) -> Processes:
        """By the config alone. UserError where a batch cannot be shared out evenly."""
        local = cfg.NUM_GPUS or cfg.NUM_PROCS
        number = local * cfg.NUM_SHARDS
        batch = train_batch(cfg, number, local)
        in_shares = cfg.TRAIN.PARALLEL == "fsdp" and number > 1
        return cls(number, batch.one_pass // number, batch.num_passes, in_shares)

    @property
    def gradients_stay(self) -> bool:
        """In DistributedDataParallel's buckets, or from one pass to the next."""
        return not self.in_shares and (self.number > 1 or self.passes > 1)


def predict(cfg: CfgNode, step: TrainingStep | None = None) -> StepMemory:
    """What a training step of `cfg` needs in each process; `step` if it is there already."""
    how = cfg.TIMESFORMER
    return (step or TrainingStep(cfg)).memory(
        cfg.TRAIN.PRECISION,
        checkpointing=how.GRAD_CHECKPOINTING,
        every=how.CHECKPOINT_EVERY,
        keep=how.CHECKPOINT_KEEP,
    )


class TrainingStep:
    """Takes steps of `cfg` on fake tensors, with the precision and recomputation that is asked for.

    Raises:
        UserError: there is no such model, or no such batch.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self.cfg = cfg
        self.on_gpu = cfg.NUM_GPUS > 0
        self.processes = Processes.of(cfg)
        with torch.device("meta"):
            self.model = build_model(cfg, pretrained=False).train()
        if self.on_gpu:  # where dropout of attention needs no matrix of its weights
            for module in self.model.modules():
                if isinstance(module, Attention):
                    module.attn_drop_rate = 0.0
        learning = [p for p in self.model.parameters() if p.requires_grad]
        self.weights = total(self.model.parameters(), self.quantum)
        self.gradients = total(learning, self.quantum)
        self.buffers = total(self.model.buffers(), self.quantum)
        self.optimizer, self.optimizer_workspace = self.take_optimizer_step()

    @property
    def quantum(self) -> int:
        return GPU_QUANTUM if self.on_gpu else CPU_QUANTUM

    def take_optimizer_step(self) -> tuple[int, int]:
        """Bytes of the optimiser's state, and those that a step needs beside it."""
        with FakeTensorMode(), Lifetimes(clips_beside(self.model), quantum=self.quantum) as lives:
            make_fake(self.model)
            optimizer = build_optimizer(self.model, self.cfg)
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.empty_like(parameter)
            before = lives.living.sum()
            optimizer.step()  # which makes the state
            state = int(lives.living.sum() - before)
            lives.seen.clear()
            optimizer.step()
            after = [int(moment.sum() - before) - state for moment in lives.seen]
        return state, max(after, default=0)

    def memory(
        self,
        precision: str,
        *,
        checkpointing: bool,
        every: int = 1,
        keep: str = "nothing",
        clips: int | None = None,
    ) -> StepMemory:
        """What a step needs.

        Args:
            clips: take the step with just so many. Of the outcome only their number may be asked
                for, and it is exact; otherwise PyTorch's short cuts for a single clip are left out.
        """
        self.model.set_grad_checkpointing(checkpointing, every=every, keep=keep)
        clips = clips or clips_beside(self.model)
        with FakeTensorMode():
            make_fake(self.model, self.working_type(precision))
            normalize = normalizer(self.cfg, CPU)
            lives = Lifetimes(
                clips,
                besides=[*self.model.parameters(), *self.model.buffers()],
                quantum=self.quantum,
                hidden=hidden_on_gpu if self.on_gpu else None,
            )
            with lives, self.gradients_followed(lives):
                self.take_step(lives, clips, normalize, precision)
        return StepMemory(self.lasting(precision), lives.moments())

    def take_step(
        self, lives: Lifetimes, clips: int, normalize: Normalizer, precision: str
    ) -> None:
        data, classes = self.cfg.DATA, self.cfg.MODEL.NUM_CLASSES
        side = data.TRAIN_CROP_SIZE
        shape = (clips, 1, data.INPUT_CHANNEL_NUM[0], data.NUM_FRAMES, side, side)
        # On a GPU the next batch is there, too.
        batches = [torch.empty(shape, dtype=torch.uint8) for _ in range(1 + self.on_gpu)]
        inputs = normalize(batches[0])
        soft = self.cfg.MIXUP.ENABLED
        targets = torch.empty(clips, classes) if soft else torch.empty(clips, dtype=torch.int64)
        lives.part = "activations"
        with Runtime(CPU, precision).autocast():
            logits = self.model(inputs)
        loss = LOSS_REGISTRY.get(self.cfg.MODEL.LOSS_FUNC)
        mean = loss(logits, targets, self.cfg.MODEL.LABEL_SMOOTHING).mean()
        lives.part = "workspace"
        mean.backward()
        lives.remember(self.optimizer_workspace)

    @contextmanager
    def gradients_followed(self, lives: Lifetimes) -> Iterator[None]:
        """Lets every gradient become what it becomes as soon as it is there."""
        share = self.processes.number if self.processes.in_shares else None

        def follow(parameter: Tensor) -> None:
            assert parameter.grad is not None
            if share:
                lives.keep(4 * parameter.numel() // share, "gradients")
            if share or self.processes.gradients_stay:
                parameter.grad = None  # added to what `lasting` has, or exchanged
            else:
                lives.move(parameter.grad, "gradients")

        parameters = [p for p in self.model.parameters() if p.requires_grad]
        handles = [p.register_post_accumulate_grad_hook(follow) for p in parameters]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self.model.zero_grad()

    def working_type(self, precision: str) -> torch.dtype:
        """Of the weights that a step computes with, before autocast."""
        low = AUTOCAST.get(precision, torch.float32)
        return low if self.processes.in_shares else torch.float32

    def lasting(self, precision: str) -> dict[str, int]:
        """What is there all the time."""
        own = self.weights + self.buffers
        parts = {"weights": own, "optimizer": self.optimizer}
        if self.cfg.TRAIN.EMA_DECAY:
            parts["average"] = own
        if self.processes.in_shares:
            parts = {part: size // self.processes.number for part, size in parts.items()}
            parts["exchange"] = exchanged(self.model, self.working_type(precision))
        if self.processes.gradients_stay:
            parts["gradients"] = self.gradients
        if self.on_gpu:
            parts["libraries"] = 2 * CUBLAS_WORKSPACE
        return parts


def exchanged(model: nn.Module, dtype: torch.dtype) -> int:
    """Bytes of what FSDP puts together for a moment, and of what belongs to no block, for all the
    step.
    """
    from timesformer.distributed.sharding import blocks  # a second of imports, for who needs it

    sizes = [sum(p.numel() for p in block.parameters()) for block in blocks(model)]
    rest = sum(p.numel() for p in model.parameters()) - sum(sizes)
    return dtype.itemsize * (rest + EXCHANGED_BLOCKS * max(sizes, default=0))


def total(tensors: Iterable[Tensor], quantum: int) -> int:
    """Bytes of all, each by itself."""
    return sum(multiple(tensor.nbytes, quantum) for tensor in tensors)


def clips_beside(model: nn.Module) -> int:
    """A number of clips that divides the size of no parameter, and so of nothing made of them."""
    sizes = [parameter.numel() for parameter in model.parameters()]
    return next(prime for prime in PRIMES if all(size % prime for size in sizes))


def hidden_on_gpu(operator: Any, arguments: tuple[Any, ...]) -> int:
    """What the GPU's kernel for an operator of the CPU needs while it runs."""
    if operator is not torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default:
        return 0
    queries = arguments[1]  # (B, heads, S, d)
    if queries.dtype == torch.float32:
        return 0  # the memory-efficient kernel, which needs no such buffer
    *batch, rows, columns = queries.shape
    rows, columns = multiple(rows, FLASH_ROWS), multiple(columns, FLASH_COLUMNS)
    return 4 * math.prod(batch) * rows * (columns + 1)  # and a column of sums


def multiple(number: int, of: int) -> int:
    """The least multiple that is not less."""
    return -(-number // of) * of
