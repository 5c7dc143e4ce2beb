"""Training in shares (FSDP2): the numbers of DistributedDataParallel, on real processes."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from tests.torch_versions import needs_fsdp
from timesformer.checkpoints import files
from timesformer.checkpoints.sharded_writer import ShardedWriter
from timesformer.distributed import sharding
from timesformer.distributed.children import in_children
from timesformer.errors import UserError
from timesformer.models.build import MODEL_REGISTRY
from timesformer.models.vit import TimeSformer
from timesformer.optim.ema import Ema

CPU = torch.device("cpu")
STEPS = 6
GRACE = 1.0  # seconds for the others when one has failed
CLIPS = 12  # a step, over all processes

pytestmark = needs_fsdp


class Run:
    """A tiny network, AdamW and a running average; in shares or with DistributedDataParallel."""

    def __init__(
        self,
        *,
        shared: bool,
        precision: str = "fp32",
        recompute: bool = False,
        drop_path_rate: float = 0,
    ) -> None:
        torch.manual_seed(0)
        self.model = TimeSformer(
            img_size=32,
            num_frames=2,
            num_classes=5,
            embed_dim=24,
            depth=2,
            num_heads=2,
            temporal_fc_zero_init=False,
            drop_path_rate=drop_path_rate,
        )
        self.model.set_grad_checkpointing(recompute)
        self.precision = precision
        self.ema = Ema(self.model, 0.9)
        if shared:
            self.wrapped = sharding.shard(self.model, CPU, precision)
            sharding.shard(self.ema.module, CPU, precision)
        else:
            self.wrapped = DistributedDataParallel(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        if shared:
            sharding.shard_optimizer(self.optimizer)

    def autocast(self) -> Any:
        bf16 = torch.autocast("cpu", torch.bfloat16)
        return bf16 if self.precision == "bf16" else nullcontext()

    def step(self, number: int) -> float:
        """The loss over all processes; two passes, clipped gradients."""
        rank, world = dist.get_rank(), dist.get_world_size()
        generator = torch.Generator().manual_seed(number)
        clips = torch.randn(CLIPS, 3, 2, 32, 32, generator=generator)
        labels = torch.randint(0, 5, (CLIPS,), generator=generator)
        torch.manual_seed(1000 * number + rank)
        total = torch.zeros(())
        for part in range(2):
            own = slice(part * world + rank, None, 2 * world)
            with self.autocast():
                logits = self.wrapped(clips[own])
            loss = nn.functional.cross_entropy(logits.float(), labels[own], reduction="sum")
            (loss * world / CLIPS).backward()
            total += loss.detach()
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(number + 1)
        dist.all_reduce(total)
        return total.item() / CLIPS

    def state(self) -> dict[str, Any]:
        return {
            "epoch": 0,
            "model_state": self.model.state_dict(),
            "optimizer_state": self.optimizer.state_dict(),
            "ema_state": self.ema.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model_state"])
        self.optimizer.load_state_dict(state["optimizer_state"])
        self.ema.load_state_dict(state["ema_state"])

    def whole_state(self) -> list[Tensor]:
        """All tensors of the state, put together; the same in all processes."""
        moments = [own[name] for own in self.state()["optimizer_state"]["state"].values()
                   for name in ("exp_avg", "exp_avg_sq", "step")]  # fmt: skip
        tensors = [*self.model.parameters(), *self.ema.module.parameters(), *moments]
        return [together(tensor) for tensor in tensors]


def together(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()


def on_processes(function: Any, number: int, *arguments: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    in_children(partial(_process, function, number, port, arguments), number, GRACE)


def _process(function: Any, number: int, port: int, arguments: tuple[Any, ...], rank: int) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=number)
    function(*arguments)
    dist.barrier()
    dist.destroy_process_group()


def train_both_ways(out: str) -> None:
    """DDP and shares side by side; then a checkpoint of the latter, and how it would go on."""
    for precision, recompute, tolerance in (("fp32", True, 1e-6), ("bf16", False, 0.02)):
        how: dict[str, Any] = {
            "precision": precision,
            "recompute": recompute,
            "drop_path_rate": 0.2,
        }
        plain, shared = Run(shared=False, **how), Run(shared=True, **how)
        evaluate(plain, shared, tolerance)  # before any training, too
        for number in range(STEPS):
            difference = abs(plain.step(number) - shared.step(number))
            assert difference <= tolerance, (precision, number, difference)
        evaluate(plain, shared, 10 * tolerance)
        assert abs(plain.step(99) - shared.step(99)) <= 2 * tolerance
    plain, shared = Run(shared=False), Run(shared=True)
    for number in range(STEPS):
        plain.step(number), shared.step(number)
    with ShardedWriter() as writer:
        writer.save(shared.state(), [files.epoch_path(out, 1)], {})
    if dist.get_rank() == 0:
        files.write(plain.state(), files.epoch_path(out, 9))
    at_save = shared.whole_state()
    losses = [shared.step(STEPS + more) for more in range(3)]
    if dist.get_rank() == 0:
        torch.save({"at_save": at_save, "losses": losses}, Path(out, "expected.pt"))


def evaluate(plain: Run, shared: Run, tolerance: float) -> None:
    """Processes that score different numbers of batches do not wait for each other."""
    clips = torch.randn(2, 3, 2, 32, 32)
    for model, other in ((shared.model, plain.model), (shared.ema.module, plain.ema.module)):
        model.eval(), other.eval()
        with torch.inference_mode(), sharding.whole(model), shared.autocast():
            for _ in range(1 + dist.get_rank()):
                torch.testing.assert_close(model(clips), other(clips), atol=tolerance, rtol=0)
        model.train(), other.train()


def resume(out: str) -> None:
    """On other processes: bit by bit what was saved, from shares and from a file of whole ones."""
    expected = torch.load(Path(out, "expected.pt"), weights_only=True)
    run = Run(shared=True)
    room = sharding.room_for(run.model, run.optimizer)
    folder = files.epoch_path(out, 1).with_suffix(".dcp")
    share = files.read(folder, room)["model_state"]["model.head.weight"]
    assert share.to_local().numel() < share.numel()  # no more was read than belongs here
    run.restore(files.read(folder, room))
    assert_same(run.whole_state(), expected["at_save"])
    for more, loss in enumerate(expected["losses"]):
        assert abs(run.step(STEPS + more) - loss) < 1e-6
    run.restore(files.read(folder))
    assert_same(run.whole_state(), expected["at_save"])
    run.restore(files.read(files.epoch_path(out, 9)))  # of DDP
    assert abs(run.step(STEPS) - expected["losses"][0]) < 1e-5


def assert_same(tensors: list[Tensor], others: list[Tensor]) -> None:
    assert all(torch.equal(one, other) for one, other in zip(tensors, others, strict=True))


@pytest.mark.slow
def test_shares_train_like_whole_models_and_resume_on_any_number(tmp_path: Path) -> None:
    on_processes(train_both_ways, 2, str(tmp_path))
    on_processes(resume, 3, str(tmp_path))
    folder = files.epoch_path(str(tmp_path), 1).with_suffix(".dcp")
    expected = torch.load(tmp_path / "expected.pt", weights_only=True)["at_save"]
    whole = files.read(folder)  # on one
    alone = TimeSformer(
        img_size=32, num_frames=2, num_classes=5, embed_dim=24, depth=2, num_heads=2
    )
    alone.load_state_dict(whole["model_state"])
    assert_same([p.detach() for p in alone.parameters()], expected[: len(list(alone.parameters()))])


def test_where_there_are_no_shares() -> None:
    sharding.check_sharding(TimeSformer(img_size=32, embed_dim=24, depth=1, num_heads=2))
    with pytest.raises(UserError, match="is for transformers: the statistics of"):
        sharding.check_sharding(MODEL_REGISTRY.get("resnet18_lstm")(num_classes=5))
