"""What tools/submit.py asks of Slurm, what it refuses, and the same job on this machine."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

from tests.engine.runs import REPO, TINY_CONFIG, environment, losses, options, train
from timesformer.checkpoints import files
from timesformer.config import load_config
from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.errors import UserError
from timesformer.submission.arguments import parse_args
from timesformer.submission.job import TrainingJob
from timesformer.submission.submit import configs, job_folder, submit

SUBMIT = [sys.executable, str(REPO / "tools" / "submit.py"), "--cfg", str(TINY_CONFIG)]


def parsed(*args):
    return parse_args(["--cfg", str(TINY_CONFIG), *args])


def dry_run(capsys, *args):
    """The options of the sbatch script, and the words of its srun."""
    submit(parsed("--dry_run", *args))
    script = capsys.readouterr().out
    flags = re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script, re.MULTILINE)
    command = shlex.split(script.splitlines()[-1])
    assert command[0] == "srun"
    return {name: "".join(shlex.split(value)) for name, value in flags}, command


def test_what_slurm_is_asked_for(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags, command = dry_run(
        capsys,
        *("--num_shards", "4", "--num_gpus", "8", "--job_dir", "my runs/a", "--name", "mine"),
        *("--partition", "p", "--account", "a", "--qos", "q", "--exclude", "n[1-2]", "--mem", "9G"),
        *("--cpus", "3", "--timeout", "60", "--comment", 'it\'s "fine"', "--mail", "me"),
        *("--use_volta32", "--sbatch", "reservation=r", "--sbatch", "exclusive"),
    )
    folder = tmp_path / "my runs" / "a" / "submitit"
    assert flags == {
        "account": "a",
        "comment": 'it\'s "fine"',
        "constraint": "volta32gb",
        "cpus-per-task": "3",
        "error": f"{folder}/%j_0_log.err",
        "exclude": "n[1-2]",
        "exclusive": "",
        "gpus-per-node": "8",
        "job-name": "mine",
        "mail-type": "END,FAIL",
        "mail-user": "me",
        "mem": "9G",
        "nodes": "4",
        "ntasks-per-node": "8",
        "open-mode": "append",
        "output": f"{folder}/%j_0_log.out",
        "partition": "p",
        "qos": "q",
        "requeue": "",
        "reservation": "r",
        "signal": "USR2@120",
        "time": "60",
    }
    assert "--cpus-per-task=3" in command
    assert command[-1] == str(folder)
    assert list(tmp_path.iterdir()) == []


def test_what_slurm_decides_if_nobody_else_does(capsys):
    flags, _ = dry_run(capsys, "NUM_GPUS", "0", "NUM_PROCS", "2")
    assert flags.keys() == {
        *("cpus-per-task", "error", "job-name", "nodes", "ntasks-per-node", "open-mode", "output"),
        *("requeue", "signal", "time"),
    }
    assert flags["ntasks-per-node"] == "2"
    assert flags["cpus-per-task"] == "3"  # 2 loader workers
    assert flags["time"] == "1440"
    assert re.search(r"/runs/TimeSformer_divST_tiny-\d{8}-\d{6}/submitit/%j", flags["output"])


def test_gres_takes_the_place_of_gpus_per_node(capsys):
    flags, _ = dry_run(capsys, "--num_gpus", "4", "--sbatch", "gres=gpu:a100:4")
    assert flags["gres"] == "gpu:a100:4"
    assert "gpus-per-node" not in flags


def test_an_array_of_seeds(capsys, tmp_path):
    # KEY VALUE pairs may follow a list.
    args = ["--job_dir", str(tmp_path), "--seeds", "0", "7", "SOLVER.BASE_LR", "0.5"]
    flags, _ = dry_run(capsys, *args)
    assert flags["array"] == "0-1%2"
    runs = configs(parsed(*args), tmp_path)
    assert [cfg.RNG_SEED for cfg in runs] == [0, 7]
    assert [cfg.OUTPUT_DIR for cfg in runs] == [f"{tmp_path}/seed_0", f"{tmp_path}/seed_7"]
    assert [cfg.SOLVER.BASE_LR for cfg in runs] == [0.5, 0.5]


def test_options_that_are_keys(tmp_path):
    args = parsed(
        "--num_shards", "2", "--num_gpus", "4", "--resume-from", "w.pyth", "NUM_GPUS", "1"
    )
    (cfg,) = configs(args, tmp_path)
    assert (cfg.NUM_SHARDS, cfg.NUM_GPUS) == (2, 4)
    assert cfg.TRAIN.CHECKPOINT_FILE_PATH == "w.pyth"
    assert job_folder(parsed("OUTPUT_DIR", "/a/b")).as_posix() == "/a/b"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--num_shards", "0"], "NUM_SHARDS is 0, but must be int, at least 1"),
        (["--cpus", "0"], "--cpus is 0, but must be at least 1"),
        (["--timeout", "1"], "--signal_delay is 120 seconds and --timeout 60 seconds"),
        (["--timeout", "0"], "--timeout 0 seconds"),
        (["--seeds", "1", "1"], "has a seed twice"),
        (["--job_dir", "x", "OUTPUT_DIR", "y"], "--job_dir x is the OUTPUT_DIR, which is also"),
        (["--job_dir", "x/%j"], "has a % or a control character in it"),
        (["--comment", "a\nrm x"], "--comment must be one line"),
        (["--sbatch", "--a b=c"], "must be OPTION=VALUE"),
        (["--local", "--dry_run"], "--dry_run prints a script for Slurm"),
        (["--local", "--qos", "q", "--num_shards", "2"], "cannot honour --qos, --num_shards 2"),
        (["NO.KEY", "1"], "NO.KEY is not a config key"),
    ],
)
def test_mistakes_are_answered(args, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=re.escape(sentence)):
        submit(parsed(*args))
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_slurm_is_told_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="no sbatch on this machine"):
        submit(parsed())


def test_gpus_without_numbers_are_refused_locally(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8932f937")
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES is GPU-8932f937"):
        submit(parsed("--local"))


def test_a_job_keeps_every_value(tmp_path):
    cfg = load_config(TINY_CONFIG, ["OUTPUT_DIR", str(tmp_path), "DATA.MEAN", "[0.1, 0.2, 0.3]"])
    job = TrainingJob(cfg)
    assert load_config(opts=job.settings) == cfg
    assert job.checkpoint().function is job


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    ensure_motion_shapes(folder, num_train=8, num_val=4, num_test=4)
    return folder


def local(opts, **popen):
    """``tools/submit.py --local``, as in a terminal of its own."""
    return subprocess.Popen(
        [*SUBMIT, "--local", *opts],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **popen,
    )


@pytest.mark.slow
def test_a_local_job_trains(videos, tmp_path):
    """In the folder it was called from, with paths relative to that."""
    opts = options(os.path.relpath(videos, tmp_path), "my run", NUM_PROCS=2)
    run = local(["--seeds", "3", *opts], cwd=tmp_path)
    output, errors = run.communicate(timeout=240)
    assert run.returncode == 0, errors
    assert f"OUTPUT_DIR {tmp_path}/my run/seed_3" in output
    train(videos, tmp_path / "here", RNG_SEED=3)
    assert losses(tmp_path / "my run" / "seed_3") == pytest.approx(losses(tmp_path / "here"))


@pytest.mark.slow
def test_a_local_job_that_fails_says_why(tmp_path):
    run = local(options(tmp_path / "nowhere", tmp_path / "run"))
    _, errors = run.communicate(timeout=240)
    assert run.returncode == 1
    assert "error: the run has not finished: timesformer.errors.UserError: " in errors
    assert "nowhere" in errors


@pytest.mark.slow
def test_a_local_job_that_is_interrupted_saves(videos, tmp_path):
    run = local(options(videos, tmp_path, SOLVER__MAX_EPOCH=100_000, TRAIN__EVAL_PERIOD=0))
    log = tmp_path / "stdout.log"
    while not (log.exists() and "epoch 2/" in log.read_text()):
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "error: the run has not finished: it was stopped" in errors
    assert "stopped by SIGINT: the state is saved" in log.read_text()
    assert files.newest_good(str(tmp_path)) is not None
