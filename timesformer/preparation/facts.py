"""What a check knows: of each video, and of each line of the lists."""

from __future__ import annotations

from dataclasses import dataclass, field

from timesformer.preparation.clips import Clip


@dataclass(frozen=True)
class Facts:
    """Of one video.

    Attributes:
        problem: ``missing`` or ``unreadable: …``; "" for a sound one, of which all else is known.
        clip_frames: frames of each clip of it that was asked for.
        digest: of its bytes; equal for equal files.
        container: FFmpeg's name of the format, ``avi``, ``mov,mp4,…``; "" for folders of frames.
            `codec` likewise.
        gap: the longest time without a frame, in seconds; see `header.Header`.
        is_misnamed: whether the ending of its name belongs to another container.
    """

    problem: str = ""
    clip_frames: tuple[int, ...] = ()
    frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    bytes: int = 0
    digest: str = ""
    container: str = ""
    codec: str = ""
    gap: float = 0.0
    is_misnamed: bool = False


@dataclass
class Line:
    """A line of a list, and what became known of it; `problem` is "" for a sound one."""

    split: str
    clip: Clip
    label: int
    facts: Facts = field(default_factory=Facts)
    problem: str = ""

    @property
    def content(self) -> tuple[object, ...]:
        """Equal for clips that show the same."""
        return self.facts.digest, self.clip.start, self.clip.end
