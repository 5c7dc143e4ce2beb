"""Start a function in as many processes as the run has.

Decided in this order (the log says which it was): the environment of ``torchrun``; processes of our
own (``NUM_GPUS`` or ``NUM_PROCS`` above 1, or several nodes); this process alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.multiprocessing as mp
from fvcore.common.config import CfgNode
from torch.distributed import TCPStore

from timesformer.distributed.process import Process, join, leave
from timesformer.errors import UserError

Run = Callable[[CfgNode, Process], None]


@dataclass(frozen=True)
class Plan:
    """How a run is spread: `kind` says by whom, `world_size` over how many processes."""

    kind: str
    world_size: int
    local_world_size: int


def launch(run: Run, cfg: CfgNode, plan: Plan) -> None:
    """Call ``run(cfg, process)`` in every process of the plan; return when all have ended.

    Raises:
        SystemExit: a process of ours failed; its own output says why.
    """
    if plan.kind == "torchrun":
        run_under_torchrun(run, cfg, os.environ)
    elif plan.kind == "spawn":
        spawn(run, cfg, plan)
    else:
        run(cfg, Process())


def plan_run(cfg: CfgNode, environ: Mapping[str, str]) -> Plan:
    """Where the processes come from, by the order in the module's docstring.

    Raises:
        UserError: several nodes without a place to meet.
    """
    if "RANK" in environ and "WORLD_SIZE" in environ:
        check_torchrun(environ)
        world_size = int(environ["WORLD_SIZE"])
        return Plan("torchrun", world_size, int(environ["LOCAL_WORLD_SIZE"]))
    per_node = int(cfg.NUM_GPUS or cfg.NUM_PROCS)
    world_size = per_node * cfg.NUM_SHARDS
    if cfg.NUM_SHARDS > 1 and not cfg.INIT_METHOD:
        raise UserError(
            f"NUM_SHARDS is {cfg.NUM_SHARDS}, but the nodes have no place to meet: give all of "
            "them the same --init_method tcp://HOST:PORT (HOST is the node with --shard_id 0)"
        )
    return Plan("spawn" if world_size > 1 else "single", world_size, per_node)


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
    if needed > found:
        raise UserError(
            f"{needed} GPUs are asked for on this node, but it has {found}; set NUM_GPUS {found}"
            + (" to run on the CPU" if found == 0 else "")
        )


def device_of(cfg: CfgNode, process: Process) -> torch.device:
    """This process's GPU, or the CPU when NUM_GPUS is 0."""
    return torch.device("cuda", process.local_rank) if cfg.NUM_GPUS else torch.device("cpu")


def run_under_torchrun(run: Run, cfg: CfgNode, environ: Mapping[str, str]) -> None:
    process = Process(
        rank=int(environ["RANK"]),
        world_size=int(environ["WORLD_SIZE"]),
        local_rank=int(environ["LOCAL_RANK"]),
        local_world_size=int(environ["LOCAL_WORLD_SIZE"]),
    )
    run_in_group(run, cfg, process, init_method="env://")


def spawn(run: Run, cfg: CfgNode, plan: Plan) -> None:
    """Start this node's processes and wait; the first that fails ends the others."""
    host, port, server = "localhost", 0, None
    if cfg.NUM_SHARDS == 1:
        # A store served from here has a port the system chose: no race for a free one.
        server = TCPStore(host, 0, is_master=True, wait_for_workers=False)
        port = server.port
    try:
        mp.spawn(_child, args=(run, cfg, plan, host, port), nprocs=plan.local_world_size)
    except mp.ProcessExitedException as error:
        sys.exit(error.exit_code if error.exit_code > 0 else 1)


def _child(local_rank: int, run: Run, cfg: CfgNode, plan: Plan, host: str, port: int) -> None:
    process = Process(
        rank=cfg.SHARD_ID * plan.local_world_size + local_rank,
        world_size=plan.world_size,
        local_rank=local_rank,
        local_world_size=plan.local_world_size,
    )
    rendezvous: dict[str, Any] = {"init_method": cfg.INIT_METHOD}
    if port:
        rendezvous = {"store": TCPStore(host, port, is_master=False)}
    try:
        run_in_group(run, cfg, process, **rendezvous)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def run_in_group(run: Run, cfg: CfgNode, process: Process, **rendezvous: Any) -> None:
    device = device_of(cfg, process)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    join(process, device, **rendezvous)
    run(cfg, process)
    # Not in a finally: after an error the others may sit in a collective, and leaving would wait.
    leave()
