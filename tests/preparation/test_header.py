"""Videos that end before they should are told from short ones, and sound ones from both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.preparation.made import make_video
from tests.shared_data import DATA, needs_shared_data
from timesformer.datasets.opening import Source
from timesformer.errors import UnreadableVideo
from timesformer.preparation.header import read_header

PROMISE = r"cut short, or damaged: its last frame ends at 0\.\d s, and its header says 0\.8 s"
INDEX = r"cut short: it has \d+ bytes, and its index names \d+"


def packets(path: Path) -> list[tuple[int, int]]:
    """Place and size of each packet, in the order of the file."""
    with av.open(str(path)) as container:
        return [(p.pos, p.size) for p in container.demux(video=0) if p.size and p.pos is not None]


def cut_to(share: float) -> Callable[[Path], None]:
    def cut(path: Path) -> None:
        """Between two packets, where no frame is torn."""
        found = packets(path)
        with path.open("r+b") as file:
            file.truncate(found[int(len(found) * share)][0])

    return cut


def early_index(path: Path) -> None:
    """Move the index of an MP4 before the frames, then lose the second half of them."""
    moved = path.with_name(f"moved{path.suffix}")
    with (
        av.open(str(path)) as source,
        av.open(str(moved), "w", options={"movflags": "+faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    moved.replace(path)
    cut_to(0.5)(path)


@pytest.mark.parametrize(
    ("name", "codec", "damage", "reason"),
    [
        ("a.mkv", "libx264", cut_to(0.5), PROMISE),
        ("a.mkv", "libx264", cut_to(0.8), PROMISE),
        ("a.webm", "libvpx-vp9", cut_to(0.5), PROMISE),
        ("a.avi", "mpeg4", cut_to(0.5), PROMISE),
        ("a.mp4", "libx264", early_index, INDEX),
    ],
)
def test_what_is_cut_between_two_frames(
    name: str, codec: str, damage: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    path = make_video(tmp_path / name, codec=codec)
    read_header(Source(str(path)))
    damage(path)
    for source in (Source(str(path)), Source("in.tar", path.read_bytes())):
        with pytest.raises(UnreadableVideo, match=reason):
            read_header(source)


def test_a_hole_is_told_as_a_gap(tmp_path: Path) -> None:
    times = [40 * i + (1000 if i > 9 else 0) for i in range(20)]
    header = read_header(Source(str(make_video(tmp_path / "a.mkv", times_ms=times))))
    assert header.gap == pytest.approx(1.0, abs=0.05)
    even = read_header(Source(str(make_video(tmp_path / "b.mkv"))))
    assert even.gap == pytest.approx(0, abs=0.002)
    assert (even.container, even.codec) == ("matroska,webm", "h264")


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.avi"])
def test_sound_that_lasts_longer_is_no_promise(name: str, tmp_path: Path) -> None:
    silent = make_video(tmp_path / f"silent_{name}", codec="mpeg4")
    with (
        av.open(str(silent)) as source,
        av.open(str(tmp_path / name), "w") as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("mp2", rate=48_000, layout="mono")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
        for start in range(0, 3 * 48_000, 1152):
            frame = av.AudioFrame(format="s16", layout="mono", samples=1152)
            frame.sample_rate, frame.pts = 48_000, start
            target.mux(sound.encode(frame))
        target.mux(sound.encode(None))
    read_header(Source(str(tmp_path / name)))


@needs_shared_data
def test_real_videos_are_whole() -> None:
    for path in [*(DATA / "samples").glob("*.*"), *(DATA / "ucf101_mini").glob("*/*.avi")]:
        assert read_header(Source(str(path))).gap < 0.2


@needs_shared_data
@pytest.mark.parametrize("name", ["asl_walk.mkv", "ssv2_121896_with_masks.webm"])
def test_real_videos_cut_at_every_tenth(name: str, tmp_path: Path) -> None:
    whole = (DATA / "samples" / name).read_bytes()
    for tenth in range(1, 10):
        data = whole[: len(whole) * tenth // 10]
        with pytest.raises(UnreadableVideo, match="cut short"):
            read_header(Source(name, data))
