"""Stopped anywhere and started again: the run that nobody stopped, bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engine.runs import (
    TINY_CONFIG,
    command,
    final_weights,
    losses,
    metrics,
    options,
    run_process,
    same,
)
from timesformer.checkpoints import files
from timesformer.config import load_config
from timesformer.distributed.process import Process
from timesformer.engine.build import build_training
from timesformer.engine.resume import start_from
from timesformer.engine.run import start
from timesformer.engine.step import Training
from timesformer.engine.train import after_epoch, finish_epoch, train, train_epoch
from timesformer.errors import Interrupted
from timesformer.logs import Silent
from timesformer.signals import StopSignals
from timesformer.writers.build import build_reporter

EPOCHS = 4
STEPS_OF_EPOCH = 6  # of 4 clips, the last one of 1
CHANGES = {
    "SOLVER__MAX_EPOCH": EPOCHS,
    "TRAIN__BATCH_SIZE": 4,
    "GLOBAL_BATCH_SIZE": 4,
    "TIMESFORMER__DROP_PATH_RATE": 0.2,
    "TRAIN__EMA_DECAY": 0.9,
    "TEST__ENABLE": False,
}


def run(videos: Path, output: Path, **changes: object) -> None:
    start(load_config(TINY_CONFIG, options(videos, output, **(CHANGES | changes))))


@pytest.fixture(scope="module")
def whole(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody stops."""
    output = tmp_path_factory.mktemp("whole")
    run(videos, output)
    return output


@contextmanager
def signal_after_steps(output: Path, num_steps: int, stop: signal.Signals) -> Iterator[None]:
    """From another thread, `stop` comes to this process once `num_steps` steps are reported."""

    def wait_and_send() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (output / "metrics.jsonl").exists() and len(losses(output)) >= num_steps:
                os.kill(os.getpid(), stop)
                return
            time.sleep(0.002)

    sender = threading.Thread(target=wait_and_send)
    sender.start()
    yield
    sender.join()


def stop_after(
    videos: Path, output: Path, num_steps: int, stop: signal.Signals, **changes: object
) -> Interrupted:
    with signal_after_steps(output, num_steps, stop), pytest.raises(Interrupted) as interruption:
        run(videos, output, **changes)
    return interruption.value


@pytest.mark.parametrize(
    ("num_steps", "stop"),
    [
        (1, signal.SIGTERM),
        (8, signal.SIGUSR1),
        (STEPS_OF_EPOCH, signal.SIGINT),
        (21, signal.SIGUSR2),
    ],
)
def test_a_stopped_run_ends_as_the_whole_one(
    videos: Path, tmp_path: Path, whole: Path, num_steps: int, stop: signal.Signals
) -> None:
    before = signal.getsignal(stop)
    interruption = stop_after(videos, tmp_path, num_steps, stop)
    assert (interruption.signum, interruption.saved) == (stop, True)
    assert signal.getsignal(stop) is before
    done = len(losses(tmp_path))
    assert done < EPOCHS * STEPS_OF_EPOCH, "it was to stop before the end"
    log = (tmp_path / "stdout.log").read_text()
    assert f"{stop.name}: saving after this step, then leaving" in log
    assert f"stopped by {stop.name}: the state is saved; the same command continues" in log
    run(videos, tmp_path)
    assert "not bit for bit" not in (tmp_path / "stdout.log").read_text()
    assert same(final_weights(tmp_path, EPOCHS), final_weights(whole, EPOCHS))
    assert losses(tmp_path) == losses(whole), "every step once, none twice"
    for kind in ("train_epoch", "val_epoch"):
        assert metrics(tmp_path, kind) == metrics(whole, kind)
    averages = [
        files.read(files.epoch_path(str(o), EPOCHS))["ema_state"] for o in (tmp_path, whole)
    ]
    assert same(*averages)


def test_what_is_done_is_not_read_again(videos: Path, tmp_path: Path) -> None:
    """The videos of the steps before the stop are gone when the epoch, the last, goes on."""
    data, output = tmp_path / "data", tmp_path / "out"
    shutil.copytree(videos, data)
    changes = {"SOLVER__MAX_EPOCH": 1, "TRAIN__EVAL_PERIOD": 0, "DATA__MAX_FAILED_FRACTION": 0}
    cfg = load_config(TINY_CONFIG, options(data, output, **(CHANGES | changes)))
    with signal_after_steps(output, 2, signal.SIGTERM), pytest.raises(Interrupted):
        start(cfg)
    newest = files.newest_good(str(output))
    assert newest is not None
    checkpoint = files.read(newest)
    done = checkpoint["samples_done"]
    assert 0 < done < 21
    for path in sorted(trained_on(cfg, done)):
        Path(path).unlink()
    start(cfg)
    assert len(losses(output)) == STEPS_OF_EPOCH


def trained_on(cfg: object, samples: int) -> set[str]:
    """The videos of the first `samples` of the first epoch that no later sample needs."""
    with StopSignals() as stop:
        training = build_training(cfg, Process(), Silent(), stop)
    order = [request.index for batch in training.sampler for request in batch]
    return {training.dataset.videos.paths[index] for index in order[:samples]}


def test_a_run_with_loader_processes_stops_as_well(
    videos: Path, tmp_path: Path, whole: Path
) -> None:
    """They live as long as the loader, and hold copies of what was open when they were forked."""
    stop_after(videos, tmp_path, 2, signal.SIGTERM, DATA_LOADER__NUM_WORKERS=2)
    run(videos, tmp_path, DATA_LOADER__NUM_WORKERS=1)
    assert same(final_weights(tmp_path, EPOCHS), final_weights(whole, EPOCHS))


def stop_before_validation(training: Training) -> None:
    with training.stop.deferred():
        train_epoch(training)
        finish_epoch(training)
        os.kill(os.getpid(), signal.SIGTERM)
        after_epoch(training)


def test_a_stop_during_validation_is_made_up_for(videos: Path, tmp_path: Path, whole: Path) -> None:
    cfg = load_config(TINY_CONFIG, options(videos, tmp_path, **CHANGES))
    reporter = build_reporter(cfg, {}, is_main=True)
    with pytest.raises(Interrupted) as interruption, StopSignals() as stop:
        stop_before_validation(build_training(cfg, Process(), reporter, stop))
    assert interruption.value.saved
    assert files.epoch_paths(str(tmp_path)) == [files.epoch_path(str(tmp_path), 1)]
    with StopSignals() as stop:
        training = build_training(cfg, Process(), reporter, stop)
        start_from(training)
        with training.saver:
            train(training)
    reporter.close()
    assert metrics(tmp_path, "val_epoch") == metrics(whole, "val_epoch")
    assert same(final_weights(tmp_path, EPOCHS), final_weights(whole, EPOCHS))


def test_a_validation_that_is_no_longer_wanted_is_not_made_up_for(
    videos: Path, tmp_path: Path
) -> None:
    run(videos, tmp_path, SOLVER__MAX_EPOCH=1)
    path = files.epoch_path(str(tmp_path), 1)
    checkpoint = files.read(path)
    files.write(checkpoint | {"awaits_validation": True}, path)
    run(videos, tmp_path, SOLVER__MAX_EPOCH=2, TRAIN__EVAL_PERIOD=0)
    assert len(metrics(tmp_path, "val_epoch")) == 1


@pytest.mark.slow
def test_on_other_processes_the_same_samples_in_the_same_order(
    videos: Path, tmp_path: Path
) -> None:
    """But for stochastic depth, which each process draws for itself."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    changes = CHANGES | {"TIMESFORMER__DROP_PATH_RATE": 0.0}
    start(load_config(TINY_CONFIG, options(videos, whole, **changes)))
    with signal_after_steps(stopped, 8, signal.SIGTERM), pytest.raises(Interrupted):
        start(load_config(TINY_CONFIG, options(videos, stopped, **changes)))
    done = run_process(command(options(videos, stopped, **changes, NUM_PROCS=2)))
    assert done.returncode == 0, done.stderr
    assert "resuming, but the number of processes was 1 and is 2" in done.stdout
    assert "the run goes on as an equivalent one, not bit for bit" in done.stdout
    assert losses(stopped) == pytest.approx(losses(whole), abs=1e-5)


def test_another_batch_goes_on_with_the_samples_that_are_left(
    videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop_after(videos, tmp_path, 2, signal.SIGTERM)
    done = len(losses(tmp_path))
    run(videos, tmp_path, GLOBAL_BATCH_SIZE=8, TRAIN__BATCH_SIZE=8, SOLVER__MAX_EPOCH=1)
    left = 21 - 4 * done
    assert len(losses(tmp_path)) - done == -(-left // 8)
    assert "resuming, but GLOBAL_BATCH_SIZE was 4 and is 8" in (tmp_path / "stdout.log").read_text()


def test_another_training_list_is_said(videos: Path, tmp_path: Path) -> None:
    data, output = tmp_path / "data", tmp_path / "out"
    shutil.copytree(videos, data)
    with signal_after_steps(output, 2, signal.SIGTERM), pytest.raises(Interrupted):
        run(data, output)
    lines = (data / "train.csv").read_text().splitlines()
    (data / "train.csv").write_text("\n".join(lines[:-2]) + "\n")
    run(data, output, SOLVER__MAX_EPOCH=2)
    log = (output / "stdout.log").read_text()
    assert "resuming, but the training list was" in log
    assert [r["num_videos"] for r in metrics(output, "val_epoch")] == [6, 6]
