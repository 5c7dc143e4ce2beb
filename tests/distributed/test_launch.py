"""Who starts the processes, decided from the config and the environment."""

import os
import subprocess
import sys

import pytest
import torch

from tests.distributed.test_slurm import BATCH, STEP
from tests.models import tiny
from timesformer.config import load_config
from timesformer.distributed.devices import device_of
from timesformer.distributed.launch import (
    IMPORTED_BY_TRAINING,
    INTERFACE_NAMES,
    Plan,
    check_devices,
    launch,
    plan_run,
    stay_on_loopback,
)
from timesformer.distributed.process import Process, from_main, gather, share_buffers
from timesformer.distributed.rendezvous import Address
from timesformer.distributed.slurm import port_of
from timesformer.engine.prepare import prepare_device, prepare_model
from timesformer.errors import UserError
from timesformer.models import build_model

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
}

CPU = ["NUM_GPUS", 0]
TCP = ["INIT_METHOD", "tcp://a:1"]
ONE_TASK_ON_EACH = STEP | {
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
}
ONE_NODE = STEP | {
    "SLURM_STEP_NUM_NODES": "1",
    "SLURM_STEP_TASKS_PER_NODE": "4",
    "SLURM_LOCALID": "3",
    "SLURM_NODEID": "0",
}


def planned(opts, environ):
    """kind, world size, local world size, rank, local rank, spawns, serves"""
    plan = plan_run(load_config(None, opts), environ)
    return (
        plan.kind,
        plan.world_size,
        plan.local_world_size,
        plan.rank,
        plan.local_rank,
        plan.spawns,
        plan.serves,
    )


@pytest.mark.parametrize(
    ("opts", "environ", "plan"),
    [
        (CPU, {}, ("single", 1, 1, 0, 0, False, False)),
        (["NUM_GPUS", 1], BATCH, ("single", 1, 1, 0, 0, False, False)),
        (["NUM_GPUS", 8], {}, ("spawn", 8, 8, 0, 0, True, True)),
        (["NUM_GPUS", 8], BATCH, ("spawn", 8, 8, 0, 0, True, True)),
        ([*CPU, "NUM_PROCS", 2], {}, ("spawn", 2, 2, 0, 0, True, True)),
        (["NUM_SHARDS", 2, "NUM_GPUS", 4, *TCP], {}, ("spawn", 8, 4, 0, 0, True, True)),
        (
            ["NUM_SHARDS", 3, "SHARD_ID", 2, "NUM_GPUS", 4, *TCP],
            {},
            ("spawn", 12, 4, 8, 0, True, False),
        ),
        (["NUM_SHARDS", 2, "NUM_GPUS", 1, *TCP], {}, ("spawn", 2, 1, 0, 0, True, True)),
        (["NUM_GPUS", 8], TORCHRUN, ("torchrun", 4, 2, 3, 1, False, False)),
        (["NUM_GPUS", 8], TORCHRUN | STEP, ("torchrun", 4, 2, 3, 1, False, False)),
        (CPU, TORCHRUN | {"RANK": "0"}, ("torchrun", 4, 2, 0, 1, False, True)),
        (
            CPU,
            TORCHRUN | {"RANK": "0", "TORCHELASTIC_USE_AGENT_STORE": "True"},
            ("torchrun", 4, 2, 0, 1, False, False),
        ),
        (["NUM_GPUS", 8], STEP, ("slurm", 4, 2, 3, 1, False, False)),
        (CPU, STEP | {"SLURM_PROCID": "0"}, ("slurm", 4, 2, 0, 1, False, True)),
        (["NUM_SHARDS", 2, "SHARD_ID", 1], STEP, ("slurm", 4, 2, 3, 1, False, False)),
        (CPU, ONE_TASK_ON_EACH, ("slurm", 2, 1, 1, 0, False, False)),
        (["NUM_GPUS", 8], ONE_TASK_ON_EACH, ("slurm", 16, 8, 8, 0, True, False)),
        (["NUM_GPUS", 8], ONE_NODE, ("slurm", 4, 4, 3, 3, False, False)),
    ],
)
def test_the_plan(opts, environ, plan):
    assert planned(opts, environ) == plan


PORT = port_of(8445901, 2, 1)


@pytest.mark.parametrize(
    ("opts", "environ", "host", "port"),
    [
        ([*CPU, "NUM_PROCS", 2], {}, "127.0.0.1", 0),
        ([*CPU, "NUM_PROCS", 2, "INIT_METHOD", "tcp://localhost:9999"], {}, "localhost", 9999),
        (["NUM_SHARDS", 2, *TCP], {}, "a", 1),
        (CPU, TORCHRUN, "localhost", 29500),
        (CPU, STEP, "node1", PORT),
        (CPU, ONE_NODE, "127.0.0.1", PORT),
        (CPU, STEP | {"MASTER_ADDR": "b"}, "b", PORT),
        (CPU, STEP | {"MASTER_PORT": "5"}, "node1", 5),
        ([*CPU, *TCP], STEP | {"MASTER_ADDR": "b", "MASTER_PORT": "5"}, "a", 1),
    ],
)
def test_the_place_to_meet(opts, environ, host, port):
    address = plan_run(load_config(None, opts), environ).address
    assert address is not None
    assert (address.host, address.port) == (host, port)


@pytest.mark.parametrize(
    ("opts", "environ", "sentence"),
    [
        (["NUM_SHARDS", 2], {}, "NUM_SHARDS is 2, .* --init_method tcp://HOST:PORT"),
        ([*CPU, *TCP], {}, "INIT_METHOD is tcp://a:1, but one process has nobody to meet"),
        ([*CPU, *TCP], TORCHRUN, "INIT_METHOD is tcp://a:1, but under torchrun .* --rdzv-endpoint"),
        (["NUM_SHARDS", 4], TORCHRUN, "NUM_SHARDS is 4, but torchrun has 2 nodes; leave it out"),
        (["NUM_SHARDS", 4], STEP, "NUM_SHARDS is 4, but the step of Slurm has 2 nodes"),
        (["NUM_SHARDS", 4, "SHARD_ID", 3], STEP | {"SLURM_STEP_NUM_NODES": "4"}, "tasks"),
        (["NUM_SHARDS", 2, "SHARD_ID", 1], STEP | {"SLURM_NODEID": "0"}, "this is node 0; leave"),
        (CPU, STEP | {"MASTER_PORT": "http"}, "MASTER_PORT is 'http', but must be from 1 to 65535"),
    ],
)
def test_what_contradicts_itself_is_refused(opts, environ, sentence):
    with pytest.raises(UserError, match=sentence):
        plan_run(load_config(None, opts), environ)


@pytest.mark.parametrize("name", ["MASTER_ADDR", "LOCAL_RANK", "WORLD_SIZE"])
def test_half_a_torchrun_is_not_believed(name):
    environ = TORCHRUN | {name: "" if name == "MASTER_ADDR" else "x"}
    with pytest.raises(UserError, match=f"set, as by torchrun, but {name} are not"):
        plan_run(load_config(), environ)


@pytest.mark.parametrize(
    ("opts", "environ", "words"),
    [
        (CPU, {}, "1 (nodes: 1), started by nobody else"),
        (["NUM_GPUS", 8], {}, "8 (nodes: 1), started by this program"),
        (CPU, TORCHRUN, "4 (nodes: 2), started by torchrun"),
        (CPU, STEP, "4 (nodes: 2), started by Slurm"),
        (
            ["NUM_GPUS", 4],
            ONE_TASK_ON_EACH,
            "8 (nodes: 2), started by Slurm, one task for each node",
        ),
    ],
)
def test_the_log_says_who_starts_the_processes(opts, environ, words):
    assert str(plan_run(load_config(None, opts), environ)) == words


def test_the_processes_of_a_node_have_their_ranks():
    plan = plan_run(load_config(None, ["NUM_GPUS", 4]), ONE_TASK_ON_EACH)
    assert plan.process(3) == Process(rank=7, world_size=8, local_rank=3, local_world_size=4)


def test_the_device_follows_num_gpus(monkeypatch):
    process = Process(rank=5, world_size=8, local_rank=1, local_world_size=4)
    assert str(device_of(load_config(None, CPU), process)) == "cpu"
    for seen, device in ((0, "cuda:1"), (4, "cuda:1"), (1, "cuda:0")):  # 1: --gpus-per-task=1
        monkeypatch.setattr(torch.cuda, "device_count", lambda seen=seen: seen)
        assert str(device_of(load_config(None, ["NUM_GPUS", 4]), process)) == device


@pytest.mark.parametrize(
    ("environ", "seen", "sentence"),
    [
        ({}, 3, "4 GPUs are asked for on this node, but it has 3; set NUM_GPUS 3"),
        ({}, 1, "4 GPUs are asked for on this node, but it has 1"),
        (ONE_TASK_ON_EACH, 1, "4 GPUs are asked for on this node, but it has 1"),
        (ONE_NODE, 2, "this task of Slurm sees 2 GPUs, but 4 tasks .* --gpus-per-task=1"),
        (ONE_NODE, 1, None),
        (ONE_NODE, 4, None),
    ],
)
def test_gpus_are_counted(monkeypatch, environ, seen, sentence):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    cfg = load_config(None, ["NUM_GPUS", 4])
    plan = plan_run(cfg, environ)
    if sentence is None:
        check_devices(cfg, plan)
        return
    with pytest.raises(UserError, match=sentence):
        check_devices(cfg, plan)


def test_an_interface_that_somebody_named_is_left_alone():
    gloo, nccl = INTERFACE_NAMES
    environ = {gloo: "eth7"}
    stay_on_loopback(environ)
    assert environ[gloo] == "eth7"
    assert environ[nccl] in ("lo", "lo0")


def test_a_single_process_talks_to_itself():
    assert from_main("x") == "x"
    assert gather("x") == ["x"]


def test_a_place_to_meet_says_who_chose_it():
    assert str(Address("a", 1, "INIT_METHOD")) == "a:1 (INIT_METHOD)"


def leave_shared_buffers(cfg, process):
    """What each process of the next test does."""
    norm = torch.nn.BatchNorm1d(2)
    norm(torch.randn(4, 2, generator=torch.Generator().manual_seed(process.rank)))
    before = norm.running_mean.clone()
    share_buffers(norm)
    torch.save((before, norm.state_dict()), f"{cfg.OUTPUT_DIR}/{process.rank}.pt")


def leave_what_travels(cfg, process):
    """What each process of the next test does: whether a forward pass would send buffers."""
    runtime = prepare_device(cfg, process)
    wrapped = prepare_model(build_model(cfg), cfg, runtime, process)
    buffers = [name for name, _ in wrapped.module.named_buffers()]
    torch.save((buffers, wrapped.will_sync_module_buffers()), f"{cfg.OUTPUT_DIR}/{process.rank}.pt")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sends"), [("TimeSformer", False), ("resnet18_average", True)])
def test_a_forward_pass_sends_no_buffers_but_statistics(tmp_path, name, sends):
    changes = tiny.WITHOUT_TIMESFORMER if name.startswith("resnet") else {}
    cfg = tiny.tiny_cfg(MODEL__MODEL_NAME=name, NUM_GPUS=0, NUM_PROCS=2, **changes)
    cfg.defrost()
    cfg.OUTPUT_DIR = str(tmp_path)
    launch(leave_what_travels, cfg, plan_run(cfg, {}))
    buffers, would_send = torch.load(tmp_path / "0.pt")
    assert buffers
    assert would_send == sends


@pytest.mark.slow
def test_every_process_gets_the_buffers_of_the_main_one(tmp_path):
    cfg = load_config(None, [*CPU, "NUM_PROCS", 2, "OUTPUT_DIR", str(tmp_path)])
    plan: Plan = plan_run(cfg, {})
    launch(leave_shared_buffers, cfg, plan)
    (main_before, main), (other_before, other) = (
        torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)
    )
    assert not torch.equal(main_before, other_before)
    assert torch.equal(main["running_mean"], main_before)
    assert all(torch.equal(main[name], other[name]) for name in main)
    assert not {*INTERFACE_NAMES} & {*os.environ}, "only its children stay on loopback"


WITHOUT_ASKING = f"""
import torch
def asked(*arguments):
    raise AssertionError("a GPU was asked for")
for name in ("_cuda_init", "_cuda_getDeviceCount", "_cuda_getDevice"):
    assert hasattr(torch._C, name)
    setattr(torch._C, name, asked)
import timesformer.engine.run, {IMPORTED_BY_TRAINING}
"""


@pytest.mark.skipif(not torch.backends.cuda.is_built(), reason="this PyTorch knows no CUDA")
def test_what_is_imported_for_all_processes_asks_for_no_gpu():
    """Or CUDA would be of no use in those that are forked afterwards."""
    subprocess.run([sys.executable, "-c", WITHOUT_ASKING], check=True, timeout=120)
