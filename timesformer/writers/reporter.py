"""Hands a run's numbers and pictures to every place that was chosen."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import simplejson
from tqdm import tqdm

from timesformer.logs import FILED_ONLY, Silent
from timesformer.writers.interface import Histogram, Writer

log = logging.getLogger("timesformer")


class Reporter(Silent):
    """Writes what a run has to show; a bar where a person watches (standard error is a terminal).

    A writer that fails is warned about once, and the run goes on.
    """

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = writers
        self._lost: set[Writer] = set()
        self._latest: dict[str, float] = {}

    def resume(self, step: int) -> None:
        self._all(lambda writer: writer.resume(step))

    def numbers(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """File `values` under `kind` (train_iter, train_epoch, val_epoch, test_final) at `step`."""
        # For parsers of the file; the person gets a line of words.
        record = {"_type": kind, "step": step, **values}
        json = simplejson.dumps(record, sort_keys=True, ignore_nan=True)
        log.info("json_stats: %s", json, extra=FILED_ONLY)
        self._latest |= {f"{kind}/{k}": v for k, v in values.items() if isinstance(v, (int, float))}
        self._all(lambda writer: writer.scalars(kind, step, values))

    def histogram(self, name: str, step: int, histogram: Histogram) -> None:
        self._all(lambda writer: writer.histogram(name, step, histogram))

    def clip(self, name: str, step: int, frames: np.ndarray, fps: float, caption: str) -> None:
        # Imported late, here and below: who asks for no pictures needs nothing that makes them.
        from timesformer.writers.pictures import moving_picture

        picture = moving_picture(frames, fps, caption)
        self._all(lambda writer: writer.picture(name, step, picture, caption))

    def confusion_matrix(
        self, name: str, step: int, counts: np.ndarray, class_names: Sequence[str]
    ) -> None:
        from timesformer.writers.pictures import confusion_matrix

        picture = confusion_matrix(counts, class_names)
        self._all(lambda writer: writer.picture(name, step, picture, name))

    def text(self, name: str, markdown: str) -> None:
        self._all(lambda writer: writer.text(name, markdown))

    def results(self, config: Mapping[str, Any]) -> None:
        """The last numbers of validation and test beside `config`, of which a page has columns."""
        metrics = {k: v for k, v in self._latest.items() if k.startswith(("val_", "test_"))}
        self._all(lambda writer: writer.results(config, metrics))

    @contextmanager
    def progress(self, total: int, title: str, done: int = 0) -> Iterator[tqdm[Any]]:
        hidden = not sys.stderr.isatty()
        with tqdm(
            total=total, desc=title, initial=done, disable=hidden, leave=False, unit="step"
        ) as bar:
            yield bar

    def close(self, *, failed: bool = False) -> None:
        self._all(lambda writer: writer.close(failed=failed))

    def _all(self, tell: Callable[[Writer], None]) -> None:
        for writer in self._writers:
            try:
                tell(writer)
            except writer.failures as error:  # no reason to stop a training
                if writer not in self._lost:
                    log.warning(
                        "the run's numbers cannot be filed (%s: %s); it goes on without",
                        writer.title,
                        error,
                    )
                self._lost.add(writer)
