"""Tell from the packets of a video, without decoding, which packet holds which frame.

Containers lie, so half of this file is reasons to doubt them. Doubt is no error: `scan` then
returns None, and the frames have to be counted by decoding them.

What no packet tells, no rule here finds: a packet that looks like a frame and yields none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

# Containers that store, or for AVI without reordering imply, the presentation time of each packet.
_TIMED_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi")

# Codecs whose packets hold one frame each. `_holds_shown_frame` and `_is_doubtful` know the
# exceptions.
_ONE_FRAME_CODECS = ("h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mjpeg")


@dataclass(frozen=True)
class Run:
    """Packets `first` to `last`, inclusive, to decode in one go; `first` is a key frame."""

    first: int
    last: int


@dataclass(frozen=True)
class Layout:
    """What the packets say, in the order of the file, which is the order of decoding.

    Attributes:
        pts: presentation time of each packet.
        keyframes: the packets at which decoding may start, ascending.
        frame_packets: the packet that holds frame i, for every i.
        start: time to seek to for the first packet.
    """

    pts: list[int]
    keyframes: list[int]
    frame_packets: list[int]
    start: int

    @property
    def num_frames(self) -> int:
        """Frames that the packets promise."""
        return len(self.frame_packets)

    def runs(self, packets: Collection[int]) -> list[Run]:
        """The fewest packets to decode for the frames in `packets`."""
        runs: list[Run] = []
        for packet in sorted(packets):
            entry = self._entry(packet)
            while runs and entry <= runs[-1].last + 1:
                entry = min(entry, runs.pop().first)
            runs.append(Run(entry, packet))
        return runs

    def _entry(self, packet: int) -> int:
        group = bisect_right(self.keyframes, packet) - 1
        leads = self.pts[packet] < self.pts[self.keyframes[group]]
        # A frame shown before the key frame of its (open) group refers to the group before, too.
        return self.keyframes[group - 1 if leads else group]


def scan(
    container: InputContainer, stream: VideoStream, packets: Iterable[Packet[VideoStream]]
) -> Layout | None:
    """The layout of `stream`, of which `packets` are all, or None where they cannot be trusted."""
    context = stream.codec_context
    if not _may_trust(container, context):
        return None
    facts: list[_Fact] = []
    for packet in packets:
        if packet.pts is None or _is_doubtful(packet, context):
            return None
        shown = _holds_shown_frame(packet, context)
        facts.append(_Fact(packet.pts, packet.dts, packet.is_keyframe, shown))
    return _layout(facts) if _are_consistent(facts, context.has_b_frames) else None


class _Fact(NamedTuple):
    """What is kept of a packet: its times, and whether it is a key frame and ever shown."""

    pts: int
    dts: int | None
    is_keyframe: bool
    is_shown: bool


def _may_trust(container: InputContainer, context: VideoCodecContext) -> bool:
    # AVI numbers its packets in the order of decoding, which is all there is to know of their
    # time; with B frames that is not the order of presentation.
    is_timed = container.format.name in _TIMED_CONTAINERS and not (
        container.format.name == "avi" and context.has_b_frames
    )
    return is_timed and context.codec.canonical_name in _ONE_FRAME_CODECS


def _is_doubtful(packet: Packet[VideoStream], context: VideoCodecContext) -> bool:
    """Whether an MPEG-4 packet is too small for a picture: a placeholder, with a frame or without.

    A coded picture takes a bit or more for each macroblock, skipped ones included. Placeholders pad
    videos with packed B frames and stand for dropped frames.
    """
    macroblocks = (context.width // 16) * (context.height // 16)
    return context.codec.canonical_name == "mpeg4" and packet.size * 8 < macroblocks


def _holds_shown_frame(packet: Packet[VideoStream], context: VideoCodecContext) -> bool:
    # An edit list (mp4) discards frames; a VP8 header says in one bit that its frame is an
    # alternate reference, never shown (RFC 6386, 9.1). VP9 packs those with a frame that is.
    if context.codec.canonical_name == "vp8" and not bytes(packet)[0] & 0x10:
        return False
    return not packet.is_discard


def _are_consistent(facts: list[_Fact], reorders: bool) -> bool:
    if not facts or not facts[0].is_keyframe:
        return False
    times = [fact.pts for fact in facts]
    shown = [fact.pts for fact in facts if fact.is_shown]
    is_ascending = all(before < after for before, after in pairwise(times))
    # Ascending times in a stream that reorders its frames are times of decoding, wrongly labelled.
    return (
        times[0] == min(times) and len(set(shown)) == len(shown) and not (reorders and is_ascending)
    )


def _layout(facts: list[_Fact]) -> Layout:
    pts = [fact.pts for fact in facts]
    shown = (packet for packet, fact in enumerate(facts) if fact.is_shown)
    return Layout(
        pts=pts,
        keyframes=[packet for packet, fact in enumerate(facts) if fact.is_keyframe],
        frame_packets=sorted(shown, key=pts.__getitem__),
        start=facts[0].pts if facts[0].dts is None else facts[0].dts,
    )
