"""What a run says: log lines, a progress bar, and its numbers in three formats.

``OUTPUT_DIR/stdout.log`` holds the log and, on lines that start with ``json_stats:``, the numbers
as PySlowFast's users parse them; ``metrics.jsonl`` holds one JSON object a line; ``tensorboard/``
the same as scalars. Only the main process writes files; the others speak up for warnings alone.
"""

from __future__ import annotations

import logging
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import simplejson
import torch
from tqdm import tqdm

from timesformer.errors import UserError

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
    """The reporter of every process but the main one."""

    def numbers(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        pass

    @contextmanager
    def progress(self, total: int, title: str, done: int = 0) -> Iterator[tqdm[Any]]:
        with tqdm(total=total, disable=True) as bar:
            yield bar

    def close(self) -> None:
        pass


class Reporter(Silent):
    """Writes a run's numbers; shows a bar where a person watches (standard error is a terminal)."""

    def __init__(self, output_dir: str, *, tensorboard: bool) -> None:
        folder = Path(output_dir)
        self._tensorboard = open_tensorboard(folder / "tensorboard") if tensorboard else None
        self._jsonl = (folder / "metrics.jsonl").open("a+")  # open for the run: see `close`
        self._end_last_line()
        self._is_lost = False

    def _end_last_line(self) -> None:
        """A run that was killed while it wrote leaves half a line: the next one starts anew."""
        self._jsonl.seek(0)
        text = self._jsonl.read()
        if text and not text.endswith("\n"):
            self._jsonl.write("\n")

    def numbers(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """File `values` under `kind` (train_iter, train_epoch, val_epoch, test_final) at `step`."""
        record = {"_type": kind, "step": step, **values}
        # For parsers of the file; the person gets a line of words.
        json = simplejson.dumps(record, sort_keys=True, ignore_nan=True)
        log.info("json_stats: %s", json, extra=FILED_ONLY)
        try:
            self._file(record)
        except OSError as error:  # no reason to stop a training
            if not self._is_lost:
                log.warning("the run's numbers cannot be filed (%s); it goes on without", error)
            self._is_lost = True

    def _file(self, record: Mapping[str, Any]) -> None:
        self._jsonl.write(simplejson.dumps(record, ignore_nan=True) + "\n")
        self._jsonl.flush()
        if self._tensorboard is not None:
            for name, value in record.items():
                if isinstance(value, (int, float)) and name != "step":
                    tag = f"{record['_type']}/{name}"
                    self._tensorboard.add_scalar(tag, value, record["step"])

    @contextmanager
    def progress(self, total: int, title: str, done: int = 0) -> Iterator[tqdm[Any]]:
        hidden = not sys.stderr.isatty()
        with tqdm(
            total=total, desc=title, initial=done, disable=hidden, leave=False, unit="step"
        ) as bar:
            yield bar

    def close(self) -> None:
        with suppress(OSError):  # a full disk has been said already
            self._jsonl.close()
        if self._tensorboard is not None:
            with suppress(OSError):
                self._tensorboard.close()


def build_reporter(output_dir: str, *, is_main: bool, tensorboard: bool) -> Silent:
    """UserError if a file of it cannot be written."""
    with telling(output_dir):
        return Reporter(output_dir, tensorboard=tensorboard) if is_main else Silent()


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


def open_tensorboard(folder: Path) -> Any:
    # Imported late: it costs a second, and only runs that ask for it should pay.
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))


def peak_memory_gb(device: torch.device) -> float:
    """Peak memory so far in GB: of the GPU's allocator, or of this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9  # bytes, kilobytes


def host_memory_gb() -> float:
    """Memory in use on the machine, in GB: all processes, loader workers among them."""
    return float(psutil.virtual_memory().used) / 1e9
