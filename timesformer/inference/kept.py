"""What is known of videos so far, on the disk, so that work that was interrupted can go on."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from timesformer.annotations.places import frame_range, tar_member
from timesformer.annotations.table import VideoList
from timesformer.checkpoints.atomic import discard, replacing
from timesformer.config.defaults import KEYS
from timesformer.config.writer_keys import WRITERS
from timesformer.errors import UserError
from timesformer.inference.load import Trained

ENDING = ".partial"

# Keys that change how fast values come, and what else is written, but no value beyond its rounding.
WITHOUT_EFFECT = {
    *("NUM_GPUS", "NUM_PROCS", "NUM_SHARDS", "SHARD_ID", "INIT_METHOD", "HANG_TIMEOUT_MINUTES"),
    *("DATA_LOADER.NUM_WORKERS", "DATA_LOADER.PIN_MEMORY", "TEST.BATCH_SIZE"),
    *("OUTPUT_DIR", "LOG_PERIOD"),
    *(key.name for key in WRITERS),
}


class KeptRows:
    """A float32 array for each video, all of one shape, kept in the folder ``OUT.partial``.

    ``rows.f32`` holds the arrays one after the other, ``done.jsonl`` a line for each: the shape,
    and the video as it was then. A line is written when its array is there. What is known of a
    file that has changed since does not count.

    Args:
        out: the file that will be written at the end.
        settings: what the arrays depend on besides the videos.
        videos: all that are asked for; a video here is its index among them.

    Raises:
        UserError: the folder is of other settings, damaged, or cannot be written.
        KeyboardInterrupt: at the end of the ``with``, with words on how to go on.
    """

    def __init__(self, out: Path, settings: dict[str, Any], videos: VideoList) -> None:
        self.folder = out.with_name(out.name + ENDING)
        self.keys = keys_of(videos)
        self.shape: tuple[int, ...] = ()
        self.count = 0
        self.places: dict[str, int] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check(settings)
            self._rows: IO[bytes] = (self.folder / "rows.f32").open("ab")
            self._done: IO[bytes] = (self.folder / "done.jsonl").open("ab+")
            try:
                self._recover()
            except BaseException:
                self.close()
                raise
        except UserError:
            raise
        except OSError as error:
            raise UserError(
                f"'{out}' cannot be written ({error.strerror}): name another --out."
            ) from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self.folder}, what was left of an earlier run, is damaged ({error}): remove it, "
                "or name another --out."
            ) from error

    def _check(self, settings: dict[str, Any]) -> None:
        path = self.folder / "settings.json"
        if not path.exists():
            with replacing(path) as file:
                file.write(json.dumps(settings).encode())
            return
        then = json.loads(path.read_text())
        for name in changed(then, settings):
            raise UserError(
                f"{self.folder} is what was left of a run with another {name} "
                f"({then.get(name)} and not {settings[name]}): remove it, or name another --out."
            )

    def _recover(self) -> None:
        """Forget what was written in part."""
        self._done.seek(0)
        lines = [line for line in self._done if line.endswith(b"\n")]
        if lines:
            self.shape = tuple(json.loads(lines[0])["shape"])
            lines = lines[: self._rows.seek(0, 2) // self._bytes]
        self._done.truncate(sum(map(len, lines)))
        self._rows.truncate(len(lines) * self._bytes)
        self.count = len(lines)
        self.places = {json.loads(line)["video"]: row for row, line in enumerate(lines)}

    @property
    def _bytes(self) -> int:
        return 4 * math.prod(self.shape)

    @property
    def done(self) -> list[int]:
        """The videos whose values are known, in order."""
        return [index for index, key in enumerate(self.keys) if key in self.places]

    @property
    def waiting(self) -> list[int]:
        """The others."""
        return [index for index, key in enumerate(self.keys) if key not in self.places]

    def add(self, index: int, values: npt.NDArray[np.float32]) -> None:
        """UserError if the disk does not take them."""
        line = json.dumps({"video": self.keys[index], "shape": list(values.shape)})
        try:
            self._rows.write(np.ascontiguousarray(values, dtype=np.float32).tobytes())
            self._rows.flush()
            self._done.write(f"{line}\n".encode())
            self._done.flush()
        except OSError as error:
            raise UserError(
                f"{self.folder} cannot be written ({error.strerror}): make room; {self._kept}"
            ) from error
        self.shape = values.shape
        self.places[self.keys[index]] = self.count
        self.count += 1

    @property
    def _kept(self) -> str:
        return (
            f"{len(self.done)} of {len(self.keys)} videos are kept in {self.folder}; "
            "the same command continues"
        )

    def values(self) -> npt.NDArray[np.float32]:
        """(len(done), ...), read from the disk as they are used."""
        places = [self.places[self.keys[index]] for index in self.done]
        if not places:
            return np.zeros((0, 0), dtype=np.float32)
        shape = (self.count, *self.shape)
        rows = np.memmap(self.folder / "rows.f32", np.float32, "r", shape=shape)
        return rows if places == list(range(self.count)) else rows[places]

    def discard(self) -> None:
        """All has been written where it belongs."""
        self.close()
        discard(self.folder)

    def close(self) -> None:
        for file in (self._rows, self._done):
            with suppress(OSError):  # `add` has flushed, or said what the disk did not take
                file.close()

    def __enter__(self) -> KeptRows:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"stopped: {self._kept}") from None


def keys_of(videos: VideoList) -> list[str]:
    """A text for each video, the same only for the same part of the same content, shown alike."""
    spans: Sequence[Any] = [None] * len(videos) if videos.spans is None else videos.spans.tolist()
    is_backward = [False] * len(videos) if videos.backward is None else videos.backward.tolist()
    return [
        json.dumps([*content_of(path), span, *(["backward"] if backward else [])])
        for path, span, backward in zip(videos.paths, spans, is_backward, strict=True)
    ]


def content_of(video: str) -> list[Any]:
    """The path of a video, its size and when it changed last in ns; only the path of an address.

    Of a part of a tar they are those of the tar, of a range of frames those of the first.
    """
    if "://" in video:
        return [video]
    file = video
    if not os.path.exists(video):
        if (member := tar_member(video)) is not None:
            file = member.tar
        elif (frames := frame_range(video)) is not None:
            file = frames.files()[0]
    path = os.path.abspath(video)
    try:
        status = Path(file).stat()
    except OSError:  # who reads the video says so
        return [path]
    return [path, status.st_size, status.st_mtime_ns]


def settings_of(trained: Trained, what: str) -> dict[str, Any]:
    """What scores or features depend on besides the video, and the path of the checkpoint."""
    cfg = trained.cfg
    keys = {name: attrgetter(name)(cfg) for name in sorted(KEYS) if name not in WITHOUT_EFFECT}
    return {
        "checkpoint": trained.source,
        "average of the weights": trained.averaged,
        "set of weights": trained.fingerprint,
        "kind of values": what,
        "number of views": [cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS],
        "config": hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:16],
    }


def changed(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Which settings of `now` were others `then`. Where the checkpoint lies is none of them."""
    return [name for name in now if name != "checkpoint" and then.get(name) != now[name]]
