"""Parameters, gradients and optimiser state in shares, one in each process (PyTorch's FSDP2).

Each process holds its share of every tensor; a block's parameters come together when it computes,
and part again. What the processes compute is what they compute with DistributedDataParallel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.nn.modules.batchnorm import _BatchNorm

from timesformer.errors import UserError

# bf16 travels and computes; gradients are summed, and weights stepped, in float32. The values
# between blocks keep the precision that autocast gives them, as without shares.
POLICIES = {
    "bf16": MixedPrecisionPolicy(
        param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
}


def check_sharding(model: nn.Module) -> None:
    """UserError where TRAIN.PARALLEL fsdp is not to be had."""
    if not hasattr(FSDPModule, "set_reshard_after_forward"):
        raise UserError(
            f"TRAIN.PARALLEL fsdp needs torch 2.8 or later, and this is {torch.__version__}: use "
            "ddp, or update"
        )
    if any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise UserError(
            "TRAIN.PARALLEL fsdp is for transformers: the statistics of this model's batch norms "
            "would differ between the processes. Use ddp."
        )


def shard(model: nn.Module, device: torch.device, precision: str) -> nn.Module:
    """Leaves this process its share of `model`, which is on its device and the same in all.

    Optimisers are made afterwards, and given to `shard_optimizer`. State dicts of whole tensors can
    be loaded as before.
    """
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    policy = POLICIES.get(precision, MixedPrecisionPolicy())
    for module in model.modules():
        module.register_load_state_dict_pre_hook(cut_parameters)
    for part in [*blocks(model), model]:
        fully_shard(part, mesh=mesh, mp_policy=policy, shard_placement_fn=where_to_cut)
    return model


def where_to_cut(parameter: nn.Parameter) -> Shard | None:
    """Along the width where there is but one row; else, None, along the rows.

    Shares are made equally large: an embedding (1, S, D) would travel as many times as there are
    processes.
    """
    dimension = dimension_to_cut(parameter.shape, dist.get_world_size())
    return Shard(dimension) if dimension else None


def dimension_to_cut(shape: Sequence[int], processes: int) -> int:
    """The first; of a single row the last, where that divides evenly, as it must."""
    last = len(shape) - 1
    return last if last > 0 and shape[0] == 1 and shape[last] % processes == 0 else 0


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """What comes together and parts again at a time: the elements of the outermost lists."""
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from blocks(child)


def cut_parameters(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Before a module loads its own parameters: whole ones are cut as its own are."""
    for name, parameter in module.named_parameters(recurse=False):
        if (value := state.get(prefix + name)) is not None:
            state[prefix + name] = cut(value, parameter)


def cut(value: Any, like: Tensor) -> Any:
    """This process's share of `value`, if that is a whole tensor and `like` one of the same shape
    in shares; else `value`.
    """
    if not isinstance(like, DTensor) or not isinstance(value, Tensor) or isinstance(value, DTensor):
        return value
    if value.shape != like.shape:
        return value
    device = like.device_mesh.device_type
    return distribute_tensor(
        value.to(device), like.device_mesh, like.placements, src_data_rank=None
    )


def shard_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Lets `optimizer`, made of a sharded model's parameters, load states of whole tensors."""
    optimizer.register_load_state_dict_pre_hook(cut_moments)


def cut_moments(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    parameters = parameters_of(optimizer)
    moments = {
        index: {name: cut(value, parameters[index]) for name, value in own.items()}
        for index, own in state["state"].items()
    }
    return state | {"state": moments}


def parameters_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """By the index that they have in the optimiser's state."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """Within it `model`, if sharded, computes without exchange; each process as often as it likes.

    Takes the memory of all its parameters. All processes enter it.
    """
    shares = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for share in shares:
        share.set_reshard_after_forward(False, recurse=False)
        with torch.inference_mode(False):  # training will use the same tensors
            share.unshard()
    try:
        yield
    finally:
        for share in shares:
            share.set_reshard_after_forward(share is not model, recurse=False)
            share.reshard()


def room_for(model: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[..., Tensor]:
    """For reading a checkpoint: an empty tensor for this process's share of each in it."""
    names, parameters = dict(model.named_parameters()), parameters_of(optimizer)

    def empty(path: tuple[object, ...], tensor: Tensor) -> Tensor:
        owner: Tensor | None = None
        match path:
            case ("model_state" | "ema_state", str(name)):
                owner = names.get(name)
            case ("optimizer_state", "state", int(index), _) if index < len(parameters):
                owner = parameters[index]
        if isinstance(owner, DTensor) and owner.shape == tensor.shape:
            return torch.empty_like(owner, dtype=tensor.dtype, requires_grad=False)
        return torch.empty(tensor.shape, dtype=tensor.dtype)

    return empty
