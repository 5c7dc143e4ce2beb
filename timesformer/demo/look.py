"""What the page shows of a video, one thing after the other; knows nothing of the page."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from timesformer.engine.guards import is_out_of_memory
from timesformer.errors import UserError
from timesformer.inference.timeline_picture import save_timeline
from timesformer.inference.windows import clip_seconds
from timesformer.visualization.attention import show_attention
from timesformer.writers.names import printable

if TYPE_CHECKING:
    from timesformer.inference.predictor import Predictor

MAX_PIXELS = 4096 * 2304  # of a picture: of larger ones, those of a clip may fill the memory
MAX_WINDOWS = 60  # of a timeline, so that somebody waits for it


@dataclass(frozen=True)
class Limits:
    """What the page takes."""

    megabytes: float
    seconds: float

    def __str__(self) -> str:
        return f"at most {self.megabytes:g} MB and {self.seconds:g} seconds"


@dataclass(frozen=True)
class Seen:
    """What there is to show so far; `words` say what is being done, or what is wrong."""

    words: str
    classes: dict[str, float] = field(default_factory=dict)
    timeline: Path | None = None
    attention: Path | None = None


class Looker:
    """Looks at videos with one model; what it draws goes to `folder`."""

    def __init__(self, predictor: Predictor, limits: Limits, folder: Path) -> None:
        self.predictor = predictor
        self.limits = limits
        self.folder = folder

    def __call__(self, video: str) -> Iterator[Seen]:
        """The classes, the timeline of a video that is longer than a clip, the attention.

        Never raises for what is wrong with a video, or too much for the machine: the last words say
        it. Its pictures are removed when the next one is asked for.
        """
        stem = self.folder / uuid.uuid4().hex
        seen = Seen("Reading the video …")
        try:
            seconds = self.length(video)
            yield seen
            for seen in self._steps(video, seconds, stem):
                yield seen
        except (UserError, OSError, RuntimeError, MemoryError) as error:
            yield replace(seen, words=sentence(error, video))
        finally:
            for path in self.folder.glob(f"{stem.name}*"):
                path.unlink()

    def length(self, video: str) -> float:
        """Seconds; UserError if the video is too much."""
        size = os.path.getsize(video) / 1e6
        if size > self.limits.megabytes:
            raise UserError(f"The file has {size:.0f} MB; {self.limits} are taken.")
        with self.predictor.dataset_of([]).open_video(video) as reader:
            seconds = reader.num_frames / reader.fps
            if seconds > self.limits.seconds:
                raise UserError(
                    f"The video is {seconds:.1f} seconds long; {self.limits} are taken."
                )
            height, width = reader.read([0]).shape[1:3]
        if height * width > MAX_PIXELS:
            raise UserError(f"The pictures are {width} x {height}, which is too large for here.")
        return seconds

    def _steps(self, video: str, seconds: float, stem: Path) -> Iterator[Seen]:
        prediction = self.predictor(video)
        best = prediction.top()
        classes = {printable(guess.name): guess.probability for guess in best}
        seen = Seen("Looking at its parts …", classes)
        yield seen
        window = clip_seconds(self.predictor.dataset_of([]).sampling) or seconds
        if seconds > 1.5 * window:
            stride = max(window / 2, seconds / MAX_WINDOWS)
            path = stem.with_name(f"{stem.name}_timeline.png")
            save_timeline(path, self.predictor.timeline(video, window, stride))
            seen = replace(seen, timeline=path)
        seen = replace(seen, words="Drawing what it looked at …")
        yield seen
        try:
            # Of the video's class: a single view may say another.
            out = stem.with_name(f"{stem.name}_attention")
            film, _ = show_attention(video, self.predictor, out, best[0].name)
        except UserError as error:  # a model without attention
            yield replace(seen, words=f"Done, without attention: {error}")
            return
        yield replace(seen, words=f"Done: {seconds:.1f} seconds of video.", attention=film)


def sentence(error: Exception, video: str) -> str:
    """What is wrong, without the place at which the server keeps the file.

    Raises:
        RuntimeError: `error`, if it is neither a person's mistake nor a machine at its end.
    """
    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return "The machine has too little memory for this video."
    if isinstance(error, OSError):
        return f"A file cannot be read or written: {error.strerror or error}."
    if not isinstance(error, UserError):
        raise error
    words = printable(str(error).replace(video, Path(video).name))
    return words[:1].upper() + words[1:]
