"""``probed.jsonl``: what a check has seen so far, so that one that was ended goes on from there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from timesformer.preparation.clips import Clip, stamp
from timesformer.preparation.facts import Facts

PROBED = "probed.jsonl"


class Probed:
    """The facts of the unfinished check in the folder `out`.

    A video that has changed since is not known, nor is one that is to be read in another way.
    """

    def __init__(self, out: Path, frames_fps: float) -> None:
        self._path = out / PROBED
        self._frames_fps = frames_fps
        self._known: dict[str, Facts] = {}
        if self._path.exists():
            for line in self._path.read_text().splitlines():
                # Torn by a kill, or of another version; that video is read again.
                with suppress(ValueError, TypeError, KeyError):
                    key, facts = json.loads(line)
                    facts["clip_frames"] = tuple(facts["clip_frames"])
                    self._known[key] = Facts(**facts)
        with self._path.open("a") as file:
            file.write("\n")  # the end of a torn line

    def facts(self, clips: Sequence[Clip]) -> Facts | None:
        """What is known of the video that `clips` are parts of."""
        return self._known.get(self._key(clips))

    def add(self, clips: Sequence[Clip], facts: Facts) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps([self._key(clips), asdict(facts)]) + "\n")

    def remove(self) -> None:
        """The check is finished: the next one looks at everything anew."""
        self._path.unlink()

    def _key(self, clips: Sequence[Clip]) -> str:
        """What the facts depend on."""
        spans = [(clip.start, clip.end) for clip in clips]
        return json.dumps([clips[0].path, stamp(clips[0].path), spans, self._frames_fps])
