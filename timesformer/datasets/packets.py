"""Tell from the packets of a video, without decoding, which packet holds which frame.

Containers lie, so half of this file is reasons to doubt them. Doubt is no error: `scan` then
returns None, and the frames have to be counted by decoding them.

What no packet tells, no rule here finds: a packet that looks like a frame and yields none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

# Containers that store, or for AVI without reordering imply, the presentation time of each packet.
_TIMED_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi")

# Codecs whose packets hold one frame each. `scan` and `_has_placeholders` know the exceptions.
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
        places: where each packet is in the file, in bytes.
        keyframes: the packets at which decoding may start, ascending.
        frame_packets: the packet that holds frame i, for every i.
    """

    pts: list[int]
    places: list[int]
    keyframes: list[int]
    frame_packets: list[int]

    @property
    def num_frames(self) -> int:
        """Frames that the packets promise."""
        return len(self.frame_packets)

    @property
    def frame_times(self) -> list[int]:
        """Presentation time of frame i, for every i: ascending."""
        return [self.pts[packet] for packet in self.frame_packets]

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


@dataclass(frozen=True)
class Facts:
    """What is known of all packets of a stream, in the order of the file; arrays of one length.

    Attributes:
        pts: presentation time of each, int64.
        places: where each is in the file, in bytes, int64.
        sizes: bytes in each, int64.
        is_keyframe: whether decoding may start there, bool.
        is_shown: whether it holds a frame that is shown, bool.
    """

    pts: np.ndarray
    places: np.ndarray
    sizes: np.ndarray
    is_keyframe: np.ndarray
    is_shown: np.ndarray


def scan(
    container: InputContainer, stream: VideoStream, packets: Iterable[Packet[VideoStream]]
) -> Layout | None:
    """The layout of `stream`, of which `packets` are all, or None where they cannot be trusted."""
    context = stream.codec_context
    if not may_trust(container, context):
        return None
    is_vp8 = context.codec.canonical_name == "vp8"
    rows: list[tuple[int, int, int, bool, bool]] = []
    for packet in packets:
        if packet.pts is None or packet.pos is None:
            return None
        # An edit list (mp4) discards frames.
        is_shown = not packet.is_discard and not (is_vp8 and _is_hidden_vp8(packet))
        rows.append((packet.pts, packet.pos, packet.size, packet.is_keyframe, is_shown))
    pts, places, sizes, *flags = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    return layout_of(Facts(pts, places, sizes, *(flag.astype(bool) for flag in flags)), context)


def may_trust(container: InputContainer, context: VideoCodecContext) -> bool:
    """Whether files of this kind tell the time of their packets, which hold one frame each."""
    # AVI numbers its packets in the order of decoding, which is all there is to know of their
    # time; with B frames that is not the order of presentation.
    is_timed = container.format.name in _TIMED_CONTAINERS and not (
        container.format.name == "avi" and context.has_b_frames
    )
    return is_timed and context.codec.canonical_name in _ONE_FRAME_CODECS


def layout_of(facts: Facts, context: VideoCodecContext) -> Layout | None:
    """The layout of a stream by the facts of its packets; None where they leave a doubt."""
    if not _are_consistent(facts, context.has_b_frames) or _has_placeholders(facts, context):
        return None
    shown = np.flatnonzero(facts.is_shown)
    return Layout(
        pts=facts.pts.tolist(),
        places=facts.places.tolist(),
        keyframes=np.flatnonzero(facts.is_keyframe).tolist(),
        frame_packets=shown[np.argsort(facts.pts[shown])].tolist(),
    )


def _are_consistent(facts: Facts, reorders: bool) -> bool:
    times = facts.pts
    if not len(times) or not facts.is_keyframe[0] or times[0] != times.min():
        return False
    # Ascending times in a stream that reorders its frames are times of decoding, wrongly labelled.
    is_mislabelled = reorders and ascends(times)
    return ascends(np.sort(times[facts.is_shown])) and not is_mislabelled


def ascends(numbers: np.ndarray) -> bool:
    """Whether each of `numbers` is larger than the one before it."""
    return bool((numbers[1:] > numbers[:-1]).all())


def _has_placeholders(facts: Facts, context: VideoCodecContext) -> bool:
    """Whether an MPEG-4 packet is too small for a picture: a placeholder, with a frame or without.

    A coded picture takes a bit or more for each macroblock, skipped ones included. Placeholders pad
    videos with packed B frames and stand for dropped frames.
    """
    macroblocks = (context.width // 16) * (context.height // 16)
    return context.codec.canonical_name == "mpeg4" and facts.sizes.min() * 8 < macroblocks


def _is_hidden_vp8(packet: Packet[VideoStream]) -> bool:
    # A VP8 header says in one bit that its frame is an alternate reference, never shown (RFC 6386,
    # 9.1). VP9 packs those with a frame that is.
    return not bytes(packet)[0] & 0x10
