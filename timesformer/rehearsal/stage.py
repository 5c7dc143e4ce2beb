"""A run in this process that leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from tempfile import TemporaryDirectory
from typing import Any

from fvcore.common.config import CfgNode

from timesformer.distributed.process import Process
from timesformer.engine.compiled import what_failed
from timesformer.engine.guards import exhausted
from timesformer.engine.step import Training
from timesformer.errors import UserError
from timesformer.logs import Silent, start_logging, stop_logging
from timesformer.profiling.alone import check_alone
from timesformer.signals import StopSignals


@contextmanager
def stage(cfg: CfgNode) -> Iterator[CfgNode]:
    """`cfg`, writing to a temporary folder, so that no checkpoint is continued or replaced.

    Raises:
        UserError: the run is one of several processes; or inside, the machine is at its end.
    """
    check_alone(cfg)
    start_logging(rank=0)
    try:
        with TemporaryDirectory() as folder:
            yield changed(cfg, {"OUTPUT_DIR": folder})
    except (OSError, RuntimeError) as error:
        if sentence := exhausted(error) or what_failed(error):
            raise UserError(sentence) from error
        raise
    finally:
        stop_logging()


def built(cfg: CfgNode) -> Training:
    """The run, with the weights it would start from, ready for its first step.

    Raises:
        UserError: there is no training; or it cannot be built.
    """
    if not cfg.TRAIN.ENABLE:
        raise UserError("TRAIN.ENABLE is False: there is no training to try.")
    # Imported late: what is asked of a config alone needs no network.
    from timesformer.engine.build import build_training
    from timesformer.engine.resume import start_from

    run = build_training(cfg, Process(), Silent(), StopSignals())
    start_from(run)
    run.model.train()
    return run


def first_step_for_ever(run: Training) -> int:
    """Have the feed hand out the passes of the first step again and again; the step's videos.

    They are read and augmented once.
    """
    run.feed.start()
    size = run.sampler.step_sizes()[0]
    passes = [run.feed.next() for _ in range(run.sampler.num_passes(size))]
    run.feed.next = cycle(passes).__next__  # type: ignore[method-assign]
    return size


def changed(cfg: CfgNode, values: dict[str, Any]) -> CfgNode:
    """A copy with other values of some keys, by their full names."""
    copy = cfg.clone()
    copy.defrost()
    copy.merge_from_list([item for pair in values.items() for item in pair])
    copy.freeze()
    return copy
