"""Who starts the processes, decided from the config and the environment."""

import pytest
import torch

from timesformer.config import load_config
from timesformer.distributed.launch import Plan, device_of, launch, plan_run
from timesformer.distributed.process import Process, from_main, gather, share_buffers
from timesformer.errors import UserError

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
}


@pytest.mark.parametrize(
    ("opts", "environ", "plan"),
    [
        (["NUM_GPUS", 0], {}, Plan("single", 1, 1)),
        (["NUM_GPUS", 1], {}, Plan("single", 1, 1)),
        (["NUM_GPUS", 8], {}, Plan("spawn", 8, 8)),
        (["NUM_GPUS", 0, "NUM_PROCS", 2], {}, Plan("spawn", 2, 2)),
        (["NUM_SHARDS", 2, "NUM_GPUS", 4, "INIT_METHOD", "tcp://a:1"], {}, Plan("spawn", 8, 4)),
        (["NUM_SHARDS", 2, "NUM_GPUS", 1, "INIT_METHOD", "tcp://a:1"], {}, Plan("spawn", 2, 1)),
        (["NUM_GPUS", 8], TORCHRUN, Plan("torchrun", 4, 2)),
    ],
)
def test_the_plan(opts, environ, plan):
    assert plan_run(load_config(None, opts), environ) == plan


def test_several_nodes_need_a_place_to_meet():
    with pytest.raises(UserError, match="NUM_SHARDS is 2, .* --init_method tcp://HOST:PORT"):
        plan_run(load_config(None, ["NUM_SHARDS", 2]), {})


@pytest.mark.parametrize("name", ["MASTER_ADDR", "LOCAL_RANK", "WORLD_SIZE"])
def test_half_a_torchrun_is_not_believed(name):
    environ = TORCHRUN | {name: "" if name == "MASTER_ADDR" else "x"}
    with pytest.raises(UserError, match=f"set, as by torchrun, but {name} are not"):
        plan_run(load_config(), environ)


def test_the_device_follows_num_gpus():
    process = Process(rank=5, world_size=8, local_rank=1, local_world_size=4)
    assert str(device_of(load_config(None, ["NUM_GPUS", 0]), process)) == "cpu"
    assert str(device_of(load_config(None, ["NUM_GPUS", 4]), process)) == "cuda:1"


def test_a_single_process_talks_to_itself():
    assert from_main("x") == "x"
    assert gather("x") == ["x"]


def leave_shared_buffers(cfg, process):
    """What each process of the next test does."""
    norm = torch.nn.BatchNorm1d(2)
    norm(torch.randn(4, 2, generator=torch.Generator().manual_seed(process.rank)))
    before = norm.running_mean.clone()
    share_buffers(norm)
    torch.save((before, norm.state_dict()), f"{cfg.OUTPUT_DIR}/{process.rank}.pt")


@pytest.mark.slow
def test_every_process_gets_the_buffers_of_the_main_one(tmp_path):
    cfg = load_config(None, ["NUM_GPUS", 0, "NUM_PROCS", 2, "OUTPUT_DIR", str(tmp_path)])
    launch(leave_shared_buffers, cfg, plan_run(cfg, {}))
    (main_before, main), (other_before, other) = (
        torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)
    )
    assert not torch.equal(main_before, other_before)
    assert torch.equal(main["running_mean"], main_before)
    assert all(torch.equal(main[name], other[name]) for name in main)
