"""What a run says: log lines, and what it has to show (`writers.reporter` shows it).

``OUTPUT_DIR/stdout.log`` holds the log and, on lines that start with ``json_stats:``, the numbers
as PySlowFast's users parse them. Only the main process writes files; the others speak up for
warnings alone.
"""

from __future__ import annotations

import logging
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch
from tqdm import tqdm

from timesformer.errors import UserError

if TYPE_CHECKING:
    from timesformer.writers.interface import Histogram

log = logging.getLogger("timesformer")

FILED_ONLY = {"is_filed_only": True}  # as `extra` of a record that the console does not show


class ConsoleHandler(logging.Handler):
    """Prints above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "is_filed_only", False):
            return
        try:
            tqdm.write(self.format(record), file=sys.stdout)
            sys.stdout.flush()
        except OSError as error:  # a full disk, a terminal that is gone: no reason to stop
            log.removeHandler(self)
            log.warning("nothing more can be said on the console (%s); the run goes on", error)


class FileHandler(logging.FileHandler):
    """Says once on the console that nothing more can be filed; the run goes on without."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        log.removeHandler(self)
        log.warning("%s cannot be written to any more (%s)", self.baseFilename, error)


def start_logging(rank: int) -> None:
    """Point the package's logger at the console."""
    stop_logging()
    is_main = rank == 0
    console = ConsoleHandler()
    console.setLevel(logging.INFO if is_main else logging.WARNING)
    prefix = "" if is_main else f"rank {rank}: "
    console.setFormatter(logging.Formatter(f"[%(asctime)s] {prefix}%(message)s", "%H:%M:%S"))
    log.addHandler(console)
    log.setLevel(logging.INFO)
    log.propagate = False


def log_to_file(output_dir: str) -> None:
    """And at ``stdout.log``, too: on the main process.

    Raises:
        UserError: it cannot be written.
    """
    with telling(output_dir):
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        file = FileHandler(Path(output_dir, "stdout.log"))
    file.setFormatter(logging.Formatter("[%(asctime)s][%(levelname)s] %(message)s"))
    log.addHandler(file)


def stop_logging() -> None:
    """Undo `start_logging`, closing the file."""
    log.propagate = True
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()


class Silent:
    """The reporter of every process but the main one; what the others do, see `Reporter`."""

    def resume(self, step: int) -> None:
        """The run goes on after `step` optimiser steps."""

    def numbers(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        pass

    def histogram(self, name: str, step: int, histogram: Histogram) -> None:
        pass

    def clip(self, name: str, step: int, frames: np.ndarray, fps: float, caption: str) -> None:
        """A clip, uint8 (T, H, W, 3), with words below it."""

    def confusion_matrix(
        self, name: str, step: int, counts: np.ndarray, class_names: Sequence[str]
    ) -> None:
        """`counts` (K, K): how often the class of the row was taken for that of the column."""

    def text(self, name: str, markdown: str) -> None:
        pass

    def results(self, config: Mapping[str, Any]) -> None:
        """The end: the latest numbers, beside what the flat config sets."""

    @contextmanager
    def progress(self, total: int, title: str, done: int = 0) -> Iterator[tqdm[Any]]:
        with tqdm(total=total, disable=True) as bar:
            yield bar

    def close(self, *, failed: bool = False) -> None:
        pass


@contextmanager
def telling(output_dir: str) -> Iterator[None]:
    """Turn what the system has against a file into a sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"OUTPUT_DIR {output_dir}: the run cannot write its log there ({error}). Make room, "
            "change the permissions, or choose another OUTPUT_DIR."
        ) from error


def peak_memory_gb(device: torch.device) -> float:
    """Peak memory so far in GB: of the GPU's allocator, or of this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9  # bytes, kilobytes


def host_memory_gb() -> float:
    """Memory in use on the machine, in GB: all processes, loader workers among them."""
    return float(psutil.virtual_memory().used) / 1e9
