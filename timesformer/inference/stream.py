"""A camera or a stream: what the last seconds of it show, again and again.

C channels, T frames, H W pixels.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from timesformer.datasets.transforms import resized_shape
from timesformer.errors import UserError
from timesformer.inference.windows import clips_in

if TYPE_CHECKING:
    from timesformer.inference.predictor import Prediction, Predictor

FALLBACK_FPS = 30.0  # of a file that states none
SLACK = 1e-6  # seconds: sums of strides are no round numbers


class Moment(NamedTuple):
    """A picture, uint8 RGB (H, W, 3), and its time in seconds."""

    time: float
    picture: np.ndarray


class Capture:
    """A source that OpenCV opens: the number of a camera, a file, an rtsp or http address.

    Pictures are scaled to `short_side` when they come, to keep many seconds of them.

    Raises:
        UserError: it cannot be opened.
    """

    def __init__(self, source: str, short_side: int) -> None:
        self.source = source
        self._short_side = short_side
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._capture = cv2.VideoCapture(int(source) if source.isdecimal() else source)
        cv2.utils.logging.setLogLevel(level)  # what it has to say is said below
        if not self._capture.isOpened():
            raise UserError(
                f"The camera or stream '{source}' cannot be opened: use the number of a camera "
                "(0 is the first), an rtsp:// or http:// address, or a file."
            )
        # Who knows how many frames are to come waits with them until they are asked for.
        self.is_live = self._capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0
        self._fps = self._capture.get(cv2.CAP_PROP_FPS) or FALLBACK_FPS

    def moments(self) -> Iterator[list[Moment]]:
        """What has come since the last time, at least one; to the end of the stream."""
        if self.is_live:
            yield from self._as_they_come()
            return
        for number in count():
            if (picture := self._next()) is None:
                return
            yield [Moment(number / self._fps, picture)]

    def close(self) -> None:
        self._capture.release()

    def _next(self) -> np.ndarray | None:
        is_there, picture = self._capture.read()
        if not is_there:
            return None
        height, width = resized_shape(picture.shape[0], picture.shape[1], self._short_side)
        return cv2.cvtColor(cv2.resize(picture, (width, height)), cv2.COLOR_BGR2RGB)

    def _as_they_come(self) -> Iterator[list[Moment]]:
        """A live source does not wait for the model: a thread takes what comes."""
        arrived: queue.SimpleQueue[Moment | None] = queue.SimpleQueue()
        stopped = threading.Event()

        def take() -> None:
            while not stopped.is_set() and (picture := self._next()) is not None:
                arrived.put(Moment(time.monotonic(), picture))
            arrived.put(None)

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            while (first := arrived.get()) is not None:
                moments: list[Moment | None] = [first]
                moments += [arrived.get() for _ in range(arrived.qsize())]
                yield [moment for moment in moments if moment is not None]
                if moments[-1] is None:
                    return
        finally:
            stopped.set()
            thread.join(timeout=5)


def watch(
    predictor: Predictor,
    source: str,
    *,
    window: float,
    stride: float,
    seconds: float = float("inf"),
) -> Iterator[tuple[float, Prediction]]:
    """Predictions for the last `window` seconds, every `stride` seconds, for `seconds` in all.

    The first comes when a window is full; a stream that ends earlier is one window. Of a live
    source those are left out that the model has no time for.

    Yields:
        Seconds since the first picture, and the prediction for what came before.

    Raises:
        UserError: the source cannot be opened, or shows nothing.
    """
    transform = predictor.dataset_of([]).transform
    capture = Capture(source, transform.short_side)
    try:
        yield from rolling(predictor, capture, window=window, stride=stride, seconds=seconds)
    finally:
        capture.close()


def rolling(
    predictor: Predictor, capture: Capture, *, window: float, stride: float, seconds: float
) -> Iterator[tuple[float, Prediction]]:
    kept: deque[Moment] = deque()
    begun, due = 0.0, window
    for moments in capture.moments():
        if not kept:
            begun = moments[0].time
        kept.extend(moments)
        while kept[-1].time - kept[0].time > window:
            kept.popleft()
        now = kept[-1].time - begun
        if now >= due - SLACK:
            due = max(due + stride, now)
            yield now, predict(predictor, kept)
        if now >= seconds:
            return
    if not kept:
        raise UserError(f"'{capture.source}' shows no picture.")
    if due == window:
        yield kept[-1].time - begun, predict(predictor, kept)


def predict(predictor: Predictor, kept: deque[Moment]) -> Prediction:
    lasted = kept[-1].time - kept[0].time
    fps = (len(kept) - 1) / lasted if lasted > 0 else FALLBACK_FPS
    frames = np.stack([moment.picture for moment in kept])
    dataset = predictor.dataset_of_video(frames, fps)
    dataset.num_clips = clips_in(lasted, dataset.sampling, dataset.num_clips)
    return predictor.of_first(dataset)
