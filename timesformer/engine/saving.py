"""When the state of a run is written, and under which names."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fvcore.common.config import CfgNode

from timesformer.checkpoints import files
from timesformer.checkpoints.state import TrainState
from timesformer.checkpoints.writer import CheckpointWriter
from timesformer.distributed.process import Process, is_sharded
from timesformer.engine.cadence import is_due

if TYPE_CHECKING:
    from timesformer.checkpoints.sharded_writer import ShardedWriter


def build_writer(cfg: CfgNode, process: Process) -> CheckpointWriter | ShardedWriter | None:
    """Of shares on every process, otherwise on the main one."""
    if is_sharded(cfg, process):
        from timesformer.checkpoints.sharded_writer import ShardedWriter

        return ShardedWriter(keep=cfg.TRAIN.KEEP_CHECKPOINTS)
    return CheckpointWriter(keep=cfg.TRAIN.KEEP_CHECKPOINTS) if process.is_main else None


class Saver:
    """Writes `state`, beside the training."""

    def __init__(
        self, cfg: CfgNode, process: Process, state: TrainState, surroundings: dict[str, Any]
    ) -> None:
        self.cfg = cfg
        self.state = state
        self.surroundings = surroundings
        self.facts: dict[str, Any] = {}  # the latest numbers, for the file beside the checkpoint
        self.is_main = process.is_main
        self.writer = build_writer(cfg, process)
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether this process wants the state written after the step that begins.

        The main process's clock decides on minutes.
        """
        every = self.cfg.TRAIN.CHECKPOINT_EVERY_STEPS
        seconds = 60 * self.cfg.TRAIN.CHECKPOINT_EVERY_MINUTES
        by_count = every > 0 and (self.state.steps_done + 1) % every == 0
        by_clock = seconds > 0 and time.monotonic() - self._last >= seconds
        return by_count or (by_clock and self.is_main)

    def within_epoch(self) -> None:
        """After any step: a checkpoint that newer ones will replace."""
        self._write([self._step_path()])

    def after_epoch(self, *, is_best: bool = False, at_once: bool = False) -> None:
        """One that stays where TRAIN.CHECKPOINT_PERIOD is over, else one of a step if `at_once`."""
        cfg, done = self.cfg, self.state.epochs_done
        # The best first: killed between the two, the run trains the epoch again.
        names = [files.folder(cfg.OUTPUT_DIR) / files.BEST] if is_best else []
        if is_due(done, cfg.TRAIN.CHECKPOINT_PERIOD, cfg.SOLVER.MAX_EPOCH):
            names.append(files.epoch_path(cfg.OUTPUT_DIR, done))
        elif at_once:
            names.append(self._step_path())
        if names:
            self._write(names)

    def _step_path(self) -> Path:
        state = self.state
        return files.step_path(self.cfg.OUTPUT_DIR, state.epochs_done, state.steps_done)

    def before_change(self) -> None:
        """To be called before weights change: a copy of them may still be on its way."""
        if self.writer:
            self.writer.before_change()

    def close(self) -> None:
        """Wait for what is being written."""
        if self.writer:
            self.writer.close()

    def __enter__(self) -> Saver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self.writer:
            self.writer.__exit__(kind, error, None)

    def _write(self, names: list[Path]) -> None:
        self._last = time.monotonic()
        if self.writer:
            checkpoint = self.state.as_checkpoint(self.cfg, self.surroundings)
            facts = {
                "epochs_done": self.state.epochs_done,
                "steps_done": self.state.steps_done,
                "metrics": dict(self.facts),
            }
            self.writer.save(checkpoint, names, facts, buffers=self.state.model.buffers())
