"""Start a function in as many processes as the run has.

Decided in this order (the log says which it was): the environment of ``torchrun``; a step of Slurm,
started by ``srun``; processes of our own (``NUM_GPUS`` or ``NUM_PROCS`` above 1, or several nodes);
this process alone.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from fvcore.common.config import CfgNode
from torch.distributed import PrefixStore, Store

from timesformer.distributed import slurm
from timesformer.distributed.children import in_children
from timesformer.distributed.devices import device_of
from timesformer.distributed.process import Process, join, leave
from timesformer.distributed.rendezvous import LOOPBACK, Address, connect, meet, serve
from timesformer.distributed.watch import GroupWatch
from timesformer.errors import Interrupted, UserError

Run = Callable[[CfgNode, Process], None]

# A process that has lost another needs ten seconds to say so; and one may be writing a checkpoint.
SECONDS_AFTER_A_FAILURE = 30.0

# The first optimiser that a process makes imports it, which takes two seconds.
IMPORTED_BY_TRAINING = "torch._dynamo"

# Libraries that take another interface than loopback where nobody names one.
INTERFACE_NAMES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


@dataclass(frozen=True)
class Plan:
    """How a run is spread.

    Args:
        kind: torchrun, slurm, spawn or single.
        world_size: processes of the run.
        local_world_size: processes on each node.
        rank: of this process, or of the first that it starts.
        local_rank: likewise, on its node.
        spawns: whether this process starts `local_world_size` others, and takes no part itself.
        address: where they meet.
        serves: whether this process is to serve the store there.
    """

    kind: str
    world_size: int
    local_world_size: int
    rank: int = 0
    local_rank: int = 0
    spawns: bool = False
    address: Address | None = None
    serves: bool = False

    @property
    def one_machine(self) -> bool:
        return self.world_size == self.local_world_size

    def __str__(self) -> str:
        words = {
            "torchrun": "torchrun",
            "slurm": "Slurm",
            "spawn": "this program",
            "single": "nobody else",
        }[self.kind]
        nodes = self.world_size // self.local_world_size
        by_node = ", one task for each node" if self.kind == "slurm" and self.spawns else ""
        return f"{self.world_size} (nodes: {nodes}), started by {words}{by_node}"

    def process(self, index: int = 0) -> Process:
        """This process, or the one of that number of those it starts."""
        return Process(
            rank=self.rank + index,
            world_size=self.world_size,
            local_rank=self.local_rank + index,
            local_world_size=self.local_world_size,
        )


def launch(run: Run, cfg: CfgNode, plan: Plan) -> None:
    """Call ``run(cfg, process)`` in every process of the plan; return when all have ended.

    Raises:
        UserError: the processes could not come together, or one was lost.
        Interrupted: a signal asked the run to stop.
        SystemExit: a process of ours failed; its own output says why.
    """
    if plan.world_size == 1:
        run(cfg, Process())
        return
    assert plan.address is not None
    server = serve(plan.address, one_machine=plan.one_machine) if plan.serves else None
    if server is not None:
        plan = replace(plan, address=replace(plan.address, port=server.port))
    if plan.spawns:
        grace = min(SECONDS_AFTER_A_FAILURE, 60 * cfg.HANG_TIMEOUT_MINUTES)
        modules = [IMPORTED_BY_TRAINING] if cfg.TRAIN.ENABLE else []
        in_children(partial(take_part, run, cfg, plan), plan.local_world_size, grace, modules)
    else:
        take_part(run, cfg, plan)


def plan_run(cfg: CfgNode, environ: Mapping[str, str]) -> Plan:
    """Where the processes come from, by the order in the module's docstring.

    Raises:
        UserError: a setting contradicts the environment, or several nodes have no place to meet.
    """
    if "RANK" in environ and "WORLD_SIZE" in environ:
        return plan_of_torchrun(cfg, environ)
    if (step := slurm.find_step(environ)) is not None:
        return plan_of_step(cfg, step, environ)
    return plan_of_config(cfg)


def plan_of_torchrun(cfg: CfgNode, environ: Mapping[str, str]) -> Plan:
    check_torchrun(environ)
    if cfg.INIT_METHOD:
        raise UserError(
            f"INIT_METHOD is {cfg.INIT_METHOD}, but under torchrun it can mean nothing: leave it "
            "out, and use torchrun's --rdzv-endpoint"
        )
    rank, world_size = int(environ["RANK"]), int(environ["WORLD_SIZE"])
    local_world_size = int(environ["LOCAL_WORLD_SIZE"])
    check_shards(cfg, world_size // local_world_size, None, "torchrun")
    address = Address(
        environ["MASTER_ADDR"], int(environ["MASTER_PORT"]), "MASTER_ADDR and MASTER_PORT"
    )
    by_agent = environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return Plan(
        "torchrun",
        world_size,
        local_world_size,
        rank,
        int(environ["LOCAL_RANK"]),
        address=address,
        serves=rank == 0 and world_size > 1 and not by_agent,
    )


def plan_of_step(cfg: CfgNode, step: slurm.Step, environ: Mapping[str, str]) -> Plan:
    """Each task is a process; or, one on each of several nodes, it starts those of its node."""
    check_shards(cfg, step.num_nodes, step.node, "the step of Slurm")
    per_node = int(cfg.NUM_GPUS or cfg.NUM_PROCS)
    spawns = step.tasks_per_node == 1 and per_node > 1
    local_world_size = per_node if spawns else step.tasks_per_node
    return Plan(
        "slurm",
        step.num_nodes * local_world_size,
        local_world_size,
        step.node * per_node if spawns else step.rank,
        step.local_rank,
        spawns,
        address_of_step(cfg, step, environ),
        serves=step.rank == 0,
    )


def address_of_step(cfg: CfgNode, step: slurm.Step, environ: Mapping[str, str]) -> Address:
    """INIT_METHOD, else MASTER_ADDR and MASTER_PORT, and for what is missing, what Slurm says."""
    if cfg.INIT_METHOD:
        return replace(address_of(cfg.INIT_METHOD), run=step.name)
    port = environ.get("MASTER_PORT", "") or str(step.port)
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(f"MASTER_PORT is '{port}', but must be from 1 to 65535; or unset it")
    host = LOOPBACK if step.num_nodes == 1 else step.first_host
    given = [name for name in ("MASTER_ADDR", "MASTER_PORT") if environ.get(name)]
    origin = " and ".join(given) or "from the step of Slurm; MASTER_ADDR and MASTER_PORT win"
    return Address(environ.get("MASTER_ADDR") or host, int(port), origin, step.name)


def plan_of_config(cfg: CfgNode) -> Plan:
    per_node = int(cfg.NUM_GPUS or cfg.NUM_PROCS)
    world_size = per_node * cfg.NUM_SHARDS
    if cfg.NUM_SHARDS > 1 and not cfg.INIT_METHOD:
        raise UserError(
            f"NUM_SHARDS is {cfg.NUM_SHARDS}, but the nodes have no place to meet: give all of "
            "them the same --init_method tcp://HOST:PORT (HOST is the node with --shard_id 0)"
        )
    if world_size == 1 and cfg.INIT_METHOD:
        raise UserError(
            f"INIT_METHOD is {cfg.INIT_METHOD}, but one process has nobody to meet: leave it out, "
            "or set NUM_SHARDS, NUM_GPUS or NUM_PROCS"
        )
    if world_size == 1:
        return Plan("single", 1, 1)
    chosen = Address(LOOPBACK, 0, "chosen by the system")
    return Plan(
        "spawn",
        world_size,
        per_node,
        cfg.SHARD_ID * per_node,
        spawns=True,
        address=address_of(cfg.INIT_METHOD) if cfg.INIT_METHOD else chosen,
        serves=cfg.SHARD_ID == 0,
    )


def address_of(init_method: str) -> Address:
    host, port = init_method.removeprefix("tcp://").split(":")
    return Address(host, int(port), "INIT_METHOD")


def check_shards(cfg: CfgNode, nodes: int, node: int | None, whose: str) -> None:
    """UserError if NUM_SHARDS or SHARD_ID are set to something else than what `whose` has."""
    if cfg.NUM_SHARDS not in (1, nodes):
        raise UserError(
            f"NUM_SHARDS is {cfg.NUM_SHARDS}, but {whose} has {nodes} nodes; leave it out"
        )
    if node is not None and cfg.SHARD_ID not in (0, node):
        raise UserError(
            f"SHARD_ID is {cfg.SHARD_ID}, but in {whose} this is node {node}; leave it out"
        )


def check_torchrun(environ: Mapping[str, str]) -> None:
    """UserError unless the variables that torchrun sets are all there and make sense."""
    numbers = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
    wrong = [name for name in numbers if not environ.get(name, "").isdigit()]
    wrong += [] if environ.get("MASTER_ADDR") else ["MASTER_ADDR"]
    if wrong:
        raise UserError(
            "RANK and WORLD_SIZE are set, as by torchrun, but "
            f"{', '.join(wrong)} are not, or are no numbers; use torchrun, or unset RANK"
        )


def check_devices(cfg: CfgNode, plan: Plan) -> None:
    """UserError if a node is asked for more GPUs than it has."""
    found = torch.cuda.device_count() if cfg.NUM_GPUS else 0
    needed = plan.local_world_size if cfg.NUM_GPUS else 0
    by_task = plan.kind == "slurm" and not plan.spawns
    if needed <= found or (by_task and found == 1):
        return
    if by_task and found:
        raise UserError(
            f"this task of Slurm sees {found} GPUs, but {needed} tasks on a node want one each: "
            "use srun --gpus-per-task=1, or let every task see all of the node's"
        )
    raise UserError(
        f"{needed} GPUs are asked for on this node, but it has {found}; set NUM_GPUS {found}"
        + (" to run on the CPU" if found == 0 else "")
    )


def take_part(run: Run, cfg: CfgNode, plan: Plan, index: int = 0) -> None:
    """Be process `index` of those that the plan has here: meet the others, run, leave together."""
    process, seconds = plan.process(index), 60 * cfg.HANG_TIMEOUT_MINUTES
    device = device_of(cfg, process)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if plan.one_machine and plan.kind != "torchrun":
        stay_on_loopback(os.environ)
    with watched(process, plan, seconds) as (process, store):
        join(process, device, store)
        try:
            run(cfg, process)
        except Interrupted as interruption:
            if interruption.saved:  # which all have agreed on
                leave(process)
            raise
        # Not in a finally: after an error the others may sit in a collective: leaving would wait.
        leave(process)


@contextmanager
def watched(process: Process, plan: Plan, seconds: float) -> Iterator[tuple[Process, Store]]:
    """The process, watched from the meeting on, and the store in which the group is to be made.

    Raises:
        UserError: nobody came, or another process was lost.
    """
    assert plan.address is not None
    store = connect(plan.address, seconds)
    name = meet(store, plan.address.run, process.rank, process.world_size, seconds)
    own = PrefixStore(f"{name} watch", connect(plan.address, seconds))
    watch = GroupWatch(own, process.rank, process.world_size, seconds)
    try:
        yield replace(process, watch=watch), PrefixStore(name, store)
    except BaseException as error:
        lost = watch.sentence(error)
        watch.close(lost or in_words(error))
        if lost:
            raise UserError(lost) from error
        raise
    watch.close()


def in_words(error: BaseException) -> str:
    if isinstance(error, Interrupted):
        return f"stopped by {signal.Signals(error.signum).name}"
    return f"{type(error).__name__}: {error}"


def stay_on_loopback(environ: MutableMapping[str, str]) -> None:
    """Have the libraries listen on loopback alone, unless somebody has named an interface."""
    loopback = {"lo", "lo0"} & {name for _, name in socket.if_nameindex()}
    for variable in INTERFACE_NAMES if loopback else ():
        environ.setdefault(variable, min(loopback))
