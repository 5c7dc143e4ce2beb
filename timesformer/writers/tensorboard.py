"""TensorBoard's event files: numbers, histograms, pictures, text, and runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timesformer.writers.interface import Histogram, Picture, Writer


class TensorBoard(Writer):
    """Writes to a folder, which a run that continues goes on with."""

    title = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        # Imported late: it costs a second, and only runs that ask for it should pay.
        from torch.utils.tensorboard import SummaryWriter

        self._events: Any = SummaryWriter(str(folder))

    def resume(self, step: int) -> None:
        """TensorBoard leaves out what was counted in optimiser steps by a run that was killed."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        restart = SessionLog(status=SessionLog.START)
        self._events.file_writer.add_event(Event(step=step + 1, session_log=restart))

    def scalars(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._events.add_scalar(f"{kind}/{name}", value, step)

    def histogram(self, name: str, step: int, histogram: Histogram) -> None:
        counts, edges = histogram.counts, histogram.edges
        middles = (edges[1:] + edges[:-1]) / 2
        self._events.add_histogram_raw(
            name,
            min=edges[0],
            max=edges[-1],
            num=counts.sum(),
            # Of the middles: the page shows neither.
            sum=(counts * middles).sum(),
            sum_squares=(counts * middles**2).sum(),
            bucket_limits=edges[1:].tolist(),
            bucket_counts=counts.tolist(),
            global_step=step,
        )

    def picture(self, name: str, step: int, picture: Picture, caption: str) -> None:
        """A GIF is an image to TensorBoard; `SummaryWriter.add_video` makes one too, by moviepy."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = Summary.Image(
            height=picture.height,
            width=picture.width,
            colorspace=3,
            encoded_image_string=picture.encoded,
        )
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self._events.file_writer.add_summary(summary, step)

    def text(self, name: str, markdown: str) -> None:
        self._events.add_text(name, markdown)

    def results(self, config: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """A row of the page HParams. The numbers themselves are there already, as scalars."""
        from torch.utils.tensorboard.summary import hparams

        # `SummaryWriter.add_hparams` would make a run of its own for them.
        for summary in hparams({name: plain(value) for name, value in config.items()}, metrics):
            self._events.file_writer.add_summary(summary)

    def close(self, *, failed: bool = False) -> None:
        self._events.close()


def plain(value: Any) -> Any:
    """`value` as a type that the page HParams can show."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)
