"""What is known of videos so far, on the disk, so that work that was interrupted can go on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from timesformer.checkpoints.atomic import discard
from timesformer.errors import UserError
from timesformer.inference.load import Trained

ENDING = ".partial"


class KeptRows:
    """A float32 array for each video, all of one shape, kept in the folder ``OUT.partial``.

    ``rows.f32`` holds the arrays one after the other, ``done.jsonl`` a line for each: the video and
    the shape. A line is written when its array is there.

    Args:
        out: the file that will be written at the end.
        settings: what the arrays depend on.

    Raises:
        UserError: the folder is of other settings, or cannot be written.
    """

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self.folder = out.with_name(out.name + ENDING)
        self.shape: tuple[int, ...] = ()
        self.places: dict[str, int] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check(settings)
            self._rows: IO[bytes] = (self.folder / "rows.f32").open("ab")
            self._done: IO[bytes] = (self.folder / "done.jsonl").open("ab+")
            self._recover()
        except OSError as error:
            raise UserError(
                f"'{out}' cannot be written ({error.strerror}): name another --out."
            ) from error

    def _check(self, settings: dict[str, Any]) -> None:
        path = self.folder / "settings.json"
        if not path.exists():
            path.write_text(json.dumps(settings))
            return
        then = json.loads(path.read_text() or "{}")
        changed = [name for name, value in settings.items() if then.get(name) != value]
        if changed:
            raise UserError(
                f"{self.folder} is what was left of a run with another {changed[0]} "
                f"({then.get(changed[0])} and not {settings[changed[0]]}): remove it, or name "
                "another --out."
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
        self.places = {json.loads(line)["video"]: row for row, line in enumerate(lines)}

    @property
    def _bytes(self) -> int:
        return 4 * math.prod(self.shape)

    def add(self, video: str, values: npt.NDArray[np.float32]) -> None:
        self.shape = values.shape
        self._rows.write(np.ascontiguousarray(values, dtype=np.float32).tobytes())
        self._rows.flush()
        line = json.dumps({"video": video, "shape": list(values.shape)})
        self._done.write(f"{line}\n".encode())
        self._done.flush()
        self.places[video] = len(self.places)

    def values(self, videos: Sequence[str]) -> npt.NDArray[np.float32]:
        """(len(videos), ...) of videos that are known, read from the disk as they are used."""
        if not self.places:
            return np.zeros((0, 0), dtype=np.float32)
        shape = (len(self.places), *self.shape)
        rows = np.memmap(self.folder / "rows.f32", np.float32, "r", shape=shape)
        places = [self.places[video] for video in videos]
        return rows if places == list(range(len(rows))) else rows[places]

    def discard(self) -> None:
        """All has been written where it belongs."""
        self.close()
        discard(self.folder)

    def close(self) -> None:
        self._rows.close()
        self._done.close()

    def __enter__(self) -> KeptRows:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def settings_of(trained: Trained, what: str) -> dict[str, Any]:
    """What scores or features depend on: the checkpoint as it is now, and the config."""
    keys = "".join(trained.cfg[section].dump() for section in ("DATA", "MODEL", "TIMESFORMER"))
    views = trained.cfg.TEST.NUM_ENSEMBLE_VIEWS, trained.cfg.TEST.NUM_SPATIAL_CROPS
    source = Path(trained.source)
    written = source.stat().st_mtime_ns if source.exists() else 0
    return {
        "checkpoint": trained.source,
        "time of the checkpoint": written,
        "kind of values": what,
        "number of views": list(views),
        "config": hashlib.sha256(keys.encode()).hexdigest()[:16],
    }
