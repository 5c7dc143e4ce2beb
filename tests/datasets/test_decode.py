"""Selective reading against a full decode, on made and real videos, sound and broken ones."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from tests.shared_data import DATA, needs_shared_data
from timesformer.datasets import decode, opening
from timesformer.datasets.container_index import indexed
from timesformer.datasets.decode import VideoReader, decode_all
from timesformer.datasets.opening import Source, open_stream, packets_of
from timesformer.datasets.packets import Layout, scan
from timesformer.datasets.pictures import Pictures
from timesformer.errors import UnreadableVideo, UserError

NUM_FRAMES = 50
GROUPS = "keyint=12:min-keyint=12:scenecut=0:"
HEVC = "keyint=12:min-keyint=12:bframes=4:b-pyramid=1:pools=1:frame-threads=1:log-level=none:"
ALT_REF = {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "30", "cpu-used": "4", "b": "200k"}
UNEVEN_MS = [40 * i + 7 * i * i % 37 for i in range(NUM_FRAMES)]


def h264(params: str) -> tuple[str, dict[str, str]]:
    # Without assembler: with it, pictures as small as these are coded differently now and then.
    return "libx264", {"x264-params": params + ":asm=0"}


# File name: encoder and its options.
SOUND = {
    "b_frames.mp4": h264(GROUPS + "bframes=3"),
    "open_groups.mp4": h264(GROUPS + "bframes=3:open-gop=1"),
    "open_groups.ts": h264(GROUPS + "bframes=3:open-gop=1"),
    "one_group.mkv": h264("keyint=250:bframes=3"),
    "short_groups.mp4": h264("keyint=4:min-keyint=4:bframes=0"),
    "intra_refresh.mp4": h264("keyint=12:intra-refresh=1:bframes=2"),
    "interlaced.mp4": h264(GROUPS + "interlaced=1"),
    "raw.h264": h264(GROUPS + "bframes=3"),
    "h264.avi": h264(GROUPS + "bframes=3"),
    "plain.avi": ("mpeg4", {"g": "12", "bf": "0"}),
    "b_frames.avi": ("mpeg4", {"g": "12", "bf": "2"}),
    "mpeg4_b_frames.mkv": ("mpeg4", {"g": "12", "bf": "2"}),
    "open_groups_hevc.mp4": ("libx265", {"x265-params": HEVC + "open-gop=1"}),
    "layers_hevc.mkv": ("libx265", {"x265-params": HEVC + "open-gop=0:temporal-layers=3"}),
    "vp8.webm": ("libvpx", ALT_REF),
    "vp9.webm": ("libvpx-vp9", ALT_REF),
    "intra.avi": ("mjpeg", {}),
}


def picture(index: int, width: int, height: int) -> np.ndarray:
    """A texture that slides, with noise on it and a cut now and then: every frame differs."""
    generator = np.random.default_rng(index // 20)
    texture = generator.integers(0, 256, (height + 20, width + 20, 3), dtype=np.uint8)
    shifted = texture[index % 20 :][:height, index % 20 :][:, :width]
    flicker = np.random.default_rng(index).integers(0, 30, shifted.shape, dtype=np.uint8)
    return shifted // 2 + flicker


def write_video(
    path: Path,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    *,
    num_frames: int = NUM_FRAMES,
    size: tuple[int, int] = (64, 48),
    rate: int = 25,
    times_ms: list[int] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    # Exact to the bit, since damage is done by position: Matroska would draw a random identifier.
    muxing = {"fflags": "+bitexact"} | (container_options or {})
    with av.open(str(path), "w", options=muxing) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        even = size[0] % 2 == size[1] % 2 == 0
        subsampling = "420p" if even else "444p"
        stream.pix_fmt = ("yuvj" if codec == "mjpeg" else "yuv") + subsampling
        stream.codec_context.thread_count = 1
        if times_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24")
            if times_ms:
                frame.pts, frame.time_base = times_ms[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def copy_packets(source: Path, target: Path, change: Callable[[int, av.Packet], bool]) -> Path:
    """Copy the packets for which `change`, which may alter them, is true."""
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as reader, av.open(str(target), "w", options=options) as writer:
        stream = reader.streams.video[0]
        copied = writer.add_stream_from_template(stream)
        for number, packet in enumerate(reader.demux(stream)):
            packet.stream = copied
            if packet.size and change(number, packet):
                writer.mux(packet)
    return target


def copy_with_dropped_frames(source: Path, target: Path, places: set[int]) -> Path:
    """Copy an MPEG-4 AVI of 25 frames per second; put an empty P picture after packets `places`.

    Its `vop_coded` is 0 (ISO 14496-2, 6.2.5), with which Xvid and DivX mark a frame that they drop.
    """
    empty = bytes([0, 0, 1, 0xB6, 0b01_0_1_0000, 0b0_1_0_01111])
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copied = writer.add_stream_from_template(stream)
        contents = []
        for number, packet in enumerate(reader.demux(stream)):
            contents += [(bytes(packet), packet.is_keyframe)] if packet.size else []
            contents += [(empty, False)] if number in places else []
        for number, (content, is_keyframe) in enumerate(contents):
            packet = av.Packet(content)
            packet.stream, packet.time_base = copied, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = is_keyframe
            writer.mux(packet)
    return target


def assert_each_frame_reads_alone(path: Path) -> None:
    """With a new reader for each: one that met a surprise has lost its trust."""
    for index, frame in enumerate(decode_all(str(path))):
        with VideoReader(str(path)) as reader:
            np.testing.assert_array_equal(reader.read([index]), frame[None], f"frame {index}")


def assert_reads_like_a_full_decode(
    path: Path, trials: int = 25, data: bytes | None = None
) -> VideoReader:
    frames = decode_all(str(path), data)
    generator = random.Random(path.name)
    with VideoReader(str(path), data) as reader:
        assert reader.num_frames == len(frames)
        for _ in range(trials):
            count = generator.choice([1, 2, 3, 8])
            indices = [generator.randrange(len(frames)) for _ in range(count)]
            np.testing.assert_array_equal(reader.read(indices), frames[indices], str(indices))
    return reader


def assert_parts_are_as_in_a_full_decode(path: Path) -> None:
    generator = random.Random(path.name)
    with VideoReader(str(path)) as reader:
        whole, whole_times = zip(*reader.pictures(), strict=True)
        for _ in range(4):
            first = generator.randrange(len(whole))
            end = generator.randrange(first, len(whole)) + 1
            part, times = zip(*reader.pictures(first, end), strict=True)
            np.testing.assert_array_equal(part, whole[first:end], f"{first} to {end}")
            known = zip(times, whole_times[first:end], strict=True)
            assert all(one == other for one, other in known if other is not None)


def stays_selective(reader: VideoReader) -> bool:
    return reader._is_trusted


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def b_frames(folder: Path) -> Path:
    return write_video(folder / "source.mp4", *h264(GROUPS + "bframes=3"))


# --- sound files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SOUND)
def test_every_kind_of_file_reads_like_a_full_decode(name: str, folder: Path) -> None:
    codec, options = SOUND[name]
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    reader = assert_reads_like_a_full_decode(write_video(folder / name, codec, options))
    assert_parts_are_as_in_a_full_decode(folder / name)
    assert reader.num_frames == NUM_FRAMES
    assert reader.fps == 25


# Not H.264 in open groups: the strict decoder takes their leftover reference marks for damage.
SELECTIVE = [
    "b_frames.mp4",
    "one_group.mkv",
    "short_groups.mp4",
    "plain.avi",
    "mpeg4_b_frames.mkv",
    "open_groups_hevc.mp4",
    "vp8.webm",
    "vp9.webm",
]


@pytest.mark.parametrize("name", SELECTIVE)
def test_common_files_are_read_selectively(name: str, folder: Path) -> None:
    codec, options = SOUND[name]
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    path = write_video(folder / f"common_{name}", codec, options)
    assert stays_selective(assert_reads_like_a_full_decode(path))


def test_a_read_decodes_the_groups_it_needs_up_to_the_last_frame(
    b_frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    add, run = Pictures.add, decode._decode_run

    def counting_run(*args: object) -> object:
        for frame in run(*args):
            decoded.append(frame.pts // 512)
            yield frame

    converted: list[int] = []

    def counting_add(pictures: Pictures, index: int, frame: av.VideoFrame) -> None:
        converted.append(frame.pts // 512)
        add(pictures, index, frame)

    monkeypatch.setattr(decode, "_decode_run", counting_run)
    monkeypatch.setattr(Pictures, "add", counting_add)
    with VideoReader(str(b_frames)) as reader:
        reader.read([40, 14, 14])
    assert converted == [14, 40]
    assert all(12 <= index <= 18 or 36 <= index <= 44 for index in decoded)


@pytest.mark.skipif("libvpx" not in av.codecs_available, reason="FFmpeg without libvpx")
def test_vp8_frames_that_are_never_shown(folder: Path) -> None:
    path = write_video(folder / "hidden.webm", *SOUND["vp8.webm"])
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    for number in (7, 24, 33):  # no key frames
        content[content.index(packets[number])] &= ~0x10  # show_frame, RFC 6386, section 9.1
    path.write_bytes(content)
    reader = assert_reads_like_a_full_decode(path)
    assert reader.num_frames == NUM_FRAMES - 3
    assert stays_selective(reader)


def test_uneven_times(folder: Path) -> None:
    path = write_video(
        folder / "uneven.mp4", *h264(GROUPS + "bframes=3"), times_ms=sorted(UNEVEN_MS)
    )
    assert stays_selective(assert_reads_like_a_full_decode(path))


@pytest.mark.parametrize("num_frames", [1, 2])
def test_very_short_videos(num_frames: int, folder: Path) -> None:
    path = write_video(folder / f"short_{num_frames}.mp4", num_frames=num_frames)
    assert assert_reads_like_a_full_decode(path).num_frames == num_frames


def test_odd_sizes(folder: Path) -> None:
    path = write_video(folder / "odd.mp4", size=(35, 27))
    assert_reads_like_a_full_decode(path)
    with VideoReader(str(path)) as reader:
        assert reader.read([3, 1, 3]).shape == (3, 27, 35, 3)


def test_rotation_is_applied(b_frames: Path, folder: Path) -> None:
    upright = decode_all(str(b_frames))
    path = folder / "rotated.mp4"
    path.write_bytes(rotated_clockwise(b_frames.read_bytes()))
    assert_reads_like_a_full_decode(path)
    np.testing.assert_array_equal(decode_all(str(path)), np.rot90(upright, -1, axes=(1, 2)))


def rotated_clockwise(mp4: bytes) -> bytes:
    """Write a display matrix of a quarter turn over the track's identity (ISO 14496-12, 8.3.2)."""
    one, w_one = 1 << 16, 1 << 30
    identity = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, w_one)
    header = mp4.index(b"tkhd")
    place = mp4.index(identity, header)
    turn = struct.pack(">9i", 0, one, 0, -one, 0, 0, 48 * one, 0, w_one)
    return mp4[:place] + turn + mp4[place + len(turn) :]


def test_the_best_of_several_streams_is_read(folder: Path) -> None:
    path = folder / "two_streams.mp4"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, (width, height) in zip(streams, [(32, 24), (64, 48)], strict=True):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        streams[0].disposition, streams[1].disposition = Disposition(0), Disposition.default
        for index in range(10):
            for stream in streams:
                image = picture(index, stream.width, stream.height)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    with VideoReader(str(path)) as reader:
        assert reader.read([9]).shape == (1, 48, 64, 3)


def test_ticks_are_the_header_s_duration_over_its_frames(b_frames: Path, folder: Path) -> None:
    avi = write_video(folder / "ticks.avi", *SOUND["plain.avi"])
    mkv = write_video(folder / "ticks.mkv")
    ticks = []
    for path in (b_frames, avi, mkv):
        with VideoReader(str(path)) as reader:
            ticks.append(reader.ticks_per_frame)
    assert ticks == [512, 1, None]


@pytest.mark.parametrize("indices", [[], [-1], [0, NUM_FRAMES]])
def test_indices_outside_the_video(indices: list[int], b_frames: Path) -> None:
    with VideoReader(str(b_frames)) as reader, pytest.raises(IndexError, match="of 50 frames"):
        reader.read(indices)


@pytest.mark.parametrize("name", SOUND)
def test_a_video_in_memory_reads_like_the_file(name: str, folder: Path) -> None:
    codec, options = SOUND[name]
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    path = write_video(folder / f"memory_{name}", codec, options)
    frames = decode_all(str(path))
    data = path.read_bytes()
    path.unlink()
    in_memory = assert_reads_like_a_full_decode(path, trials=8, data=data)
    assert in_memory.num_frames == len(frames)
    np.testing.assert_array_equal(decode_all("a name", data), frames)


def test_broken_videos_in_memory_are_named() -> None:
    for data in (b"", b"not a video\n" * 500):
        with pytest.raises(UnreadableVideo, match=r"'in\.tar/1\.mp4' cannot be read"):
            VideoReader("in.tar/1.mp4", data)


def test_pictures_come_one_after_the_other(b_frames: Path) -> None:
    frames = decode_all(str(b_frames))
    with VideoReader(str(b_frames)) as reader:
        pictures, times = zip(*reader.pictures(10, 20), strict=True)
        assert len(list(reader.pictures())) == NUM_FRAMES
    np.testing.assert_array_equal(pictures, frames[10:20])
    assert times == tuple(Fraction(index, 25) for index in range(10, 20))


def test_a_part_is_read_from_the_key_frame_before_it(b_frames: Path, tmp_path: Path) -> None:
    data = bytearray(b_frames.read_bytes())
    with VideoReader(str(b_frames)) as reader:
        assert reader._layout is not None
        layout = reader._layout
        frames = [picture for picture, _ in reader.pictures(30, 40)]
    early, entry = layout.places[1], max(k for k in layout.keyframes if k <= 26)
    data[early + 20 : layout.places[entry] - 20] = bytes(layout.places[entry] - early - 40)
    (tmp_path / "damaged.mp4").write_bytes(data)
    with VideoReader(str(tmp_path / "damaged.mp4")) as reader:
        np.testing.assert_array_equal([p for p, _ in reader.pictures(30, 40)], frames)
        with pytest.raises(UnreadableVideo):
            list(reader.pictures(0, 40))


# --- the index ------------------------------------------------------------------------------------


def scanned(path: Path) -> Layout | None:
    source = Source(str(path))
    container, stream = open_stream(source, lenient=False)
    with container:
        return scan(container, stream, packets_of(source, container, stream))


def from_index(path: Path) -> Layout | None:
    source = Source(str(path))
    container, stream = open_stream(source, lenient=False)
    with container:
        return indexed(container, stream, source.open)


INDEXED = [
    "b_frames.mp4",
    "open_groups.mp4",
    "short_groups.mp4",
    "plain.avi",
    "intra.avi",
    "open_groups_hevc.mp4",
]


@pytest.mark.parametrize("name", INDEXED)
def test_the_index_tells_what_the_packets_tell(name: str, folder: Path) -> None:
    codec, options = SOUND[name]
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    path = write_video(folder / f"index_{name}", codec, options)
    layout = from_index(path)
    assert layout is not None
    assert layout == scanned(path)


def test_an_index_with_negative_offsets(b_frames: Path, folder: Path) -> None:
    path = folder / "negative.mp4"
    options = {"movflags": "negative_cts_offsets"}
    with av.open(str(b_frames)) as reader, av.open(str(path), "w", options=options) as writer:
        stream = reader.streams.video[0]
        copied = writer.add_stream_from_template(stream)
        for packet in reader.demux(stream):
            packet.stream = copied
            if packet.size:
                writer.mux(packet)
    layout = from_index(path)
    assert layout is not None
    assert layout == scanned(path)
    assert stays_selective(assert_reads_like_a_full_decode(path))


@pytest.mark.parametrize(
    "movflags", ["frag_keyframe", "frag_keyframe+empty_moov", "frag_keyframe+default_base_moof"]
)
def test_fragments_are_in_no_index(movflags: str, folder: Path) -> None:
    path = folder / f"{movflags}.mp4"
    write_video(path, *SOUND["b_frames.mp4"], container_options={"movflags": movflags})
    assert from_index(path) is None
    assert assert_reads_like_a_full_decode(path).num_frames == NUM_FRAMES


def test_an_index_that_ends_before_the_video_is_not_believed(folder: Path) -> None:
    # The last ten of the entries, 16 bytes each, become junk of their own (AVI 1.0, idx1).
    path = write_video(folder / "short_index.avi", *SOUND["plain.avi"])
    content = bytearray(path.read_bytes())
    place = content.rindex(b"idx1")
    size = int.from_bytes(content[place + 4 : place + 8], "little")
    content[place + 4 : place + 8] = (size - 160).to_bytes(4, "little")
    end = place + 8 + size - 160
    content[end : end + 8] = b"JUNK" + (152).to_bytes(4, "little")
    path.write_bytes(content)
    assert from_index(path) is None
    assert assert_reads_like_a_full_decode(path).num_frames == NUM_FRAMES


def test_a_long_video_is_not_read_to_find_a_clip(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(folder / "long.mp4", *SOUND["b_frames.mp4"])
    demuxed: list[int] = []
    packets = opening.packets_of

    def counting(*args: object) -> object:
        for packet in packets(*args):
            demuxed.append(packet.pts // 512)
            yield packet

    monkeypatch.setattr(decode, "packets_of", counting)
    with VideoReader(str(path)) as reader:
        reader.read([30, 28])
    assert min(demuxed) >= 24 - 3
    assert max(demuxed) < 36


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["b_frames.mp4", "plain.avi", "vp9.webm", "b_frames.avi"])
def test_the_frame_at_a_time(name: str, folder: Path) -> None:
    codec, options = SOUND[name]
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    path = write_video(folder / f"time_{name}", codec, options)
    with VideoReader(str(path)) as reader:
        # 25 frames per second; and every frame's own time is its own, in floating point too.
        assert [reader.frame_at(index / 25) for index in range(NUM_FRAMES)] == list(range(50))
        seconds = [-1.0, 0.0, 0.001, 0.039, 0.041, 1.961, 2.0, 1e6]
        assert [reader.frame_at(second) for second in seconds] == [0, 0, 1, 1, 2, 50, 50, 50]


def test_the_frame_at_a_time_where_frames_are_uneven(folder: Path) -> None:
    times = sorted(UNEVEN_MS)
    path = write_video(folder / "uneven.mkv", *SOUND["b_frames.mp4"], times_ms=times)
    with VideoReader(str(path)) as reader:
        for index, time in enumerate(times):
            assert reader.frame_at((time - times[0]) / 1000) == index


def test_times_count_from_the_first_frame(b_frames: Path, folder: Path) -> None:
    path = copy_packets(b_frames, folder / "later.mp4", start_before_zero)
    with VideoReader(str(path)) as reader:
        assert reader.frame_at(0) == 0
        assert reader.frame_at(10 / 25) == 10
        assert reader.frame_at(1e6) == reader.num_frames


# --- files that lie -------------------------------------------------------------------------------


def flag_all_as_keyframes(number: int, packet: av.Packet) -> bool:
    packet.is_keyframe = True
    return True


def stamp_with_decode_times(number: int, packet: av.Packet) -> bool:
    packet.pts = packet.dts
    return True


def start_before_zero(number: int, packet: av.Packet) -> bool:
    packet.pts -= 20 * 512
    packet.dts -= 20 * 512
    return True


LIES = {
    "all_keyframes.mp4": flag_all_as_keyframes,
    "decode_times.mp4": stamp_with_decode_times,
    "edit_list.mp4": start_before_zero,
    "starts_inside_a_group.mp4": lambda number, packet: number > 3,
    "lost_packet.mp4": lambda number, packet: number != 20,
}


CODECS_AND_LIES = [
    (codec, name)
    for codec in ("libx264", "libx265", "mpeg4")
    for name in LIES
    # See test_a_lost_hevc_packet_takes_more_frames_with_it.
    if (codec, name) != ("libx265", "lost_packet.mp4")
]


@pytest.mark.parametrize(("codec", "name"), CODECS_AND_LIES)
def test_lying_containers_read_like_a_full_decode(codec: str, name: str, folder: Path) -> None:
    source = folder / f"honest_{codec}.mp4"
    options = {
        "libx264": h264(GROUPS + "bframes=3")[1],
        "libx265": {"x265-params": HEVC},
        "mpeg4": {"bf": "2"},
    }
    if not source.exists():
        write_video(source, codec, options[codec])
    path = copy_packets(source, folder / f"{codec}_{name}", LIES[name])
    assert_reads_like_a_full_decode(path, trials=15)
    assert_each_frame_reads_alone(path)


def test_edit_lists_are_read_selectively(b_frames: Path, folder: Path) -> None:
    path = copy_packets(b_frames, folder / "trimmed.mp4", start_before_zero)
    assert stays_selective(assert_reads_like_a_full_decode(path))


def test_mpeg4_packets_that_are_all_flagged_as_key_frames(folder: Path) -> None:
    # Without B frames this decoder starts at any packet, and makes up what came before.
    source = write_video(folder / "honest_plain.mp4", "mpeg4", {"g": "12", "bf": "0"})
    path = copy_packets(source, folder / "all_keyframes_plain.mp4", flag_all_as_keyframes)
    assert_each_frame_reads_alone(path)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_clock_too_coarse_for_the_frames(codec: str, folder: Path) -> None:
    # Matroska counts milliseconds.
    options = h264(GROUPS + "bframes=3")[1] if codec == "libx264" else {"bf": "2"}
    path = write_video(folder / f"fast_{codec}.mkv", codec, options, rate=2000)
    assert_reads_like_a_full_decode(path)
    assert_each_frame_reads_alone(path)


def test_dropped_frames(folder: Path) -> None:
    source = write_video(folder / "kept.avi", *SOUND["plain.avi"], size=(160, 128))
    path = copy_with_dropped_frames(source, folder / "dropped.avi", {10, 20, 33})
    assert assert_reads_like_a_full_decode(path).num_frames == NUM_FRAMES


@pytest.mark.parametrize("skipped", [0, 1], ids=["with its key frame", "without"])
@pytest.mark.parametrize("name", ["open_groups.mp4", "open_groups_hevc.mp4"])
def test_a_video_starting_with_an_open_group(name: str, skipped: int, folder: Path) -> None:
    source = write_video(folder / f"whole_{name}.mkv", *SOUND[name])
    with av.open(str(source)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    start = next(n for n, packet in enumerate(packets) if packet.is_keyframe and n > 0)
    assert min(packet.pts for packet in packets[start:]) < packets[start].pts
    path = copy_packets(
        source, folder / f"cut_{skipped}_{name}.mkv", lambda number, _: number >= start + skipped
    )
    assert_reads_like_a_full_decode(path)


# --- broken files ---------------------------------------------------------------------------------


def test_a_lost_hevc_packet_takes_more_frames_with_it(folder: Path) -> None:
    source = write_video(folder / "complete.mp4", "libx265", {"x265-params": HEVC})
    path = copy_packets(source, folder / "gap.mp4", LIES["lost_packet.mp4"])
    assert_missing_frames_are_named(path, promised=NUM_FRAMES - 1)


def test_empty_pictures_that_look_like_frames(folder: Path) -> None:
    # So small are these pictures that an empty one is not smaller than a coded one can be.
    source = write_video(folder / "small.avi", *SOUND["plain.avi"])
    path = copy_with_dropped_frames(source, folder / "small_dropped.avi", {10, 20, 33})
    assert_missing_frames_are_named(path, promised=NUM_FRAMES + 3)


def assert_missing_frames_are_named(path: Path, promised: int) -> None:
    frames = decode_all(str(path))
    assert len(frames) < promised
    with VideoReader(str(path)) as reader:
        assert reader.num_frames == promised
        # With the first read the trust goes; the others name frames that were promised before.
        for indices in (range(promised), [promised - 1], [len(frames)]):
            reason = f"frame {max(indices)} is missing: .* more than the {len(frames)} frames that"
            with pytest.raises(UnreadableVideo, match=reason):
                reader.read(indices)
        np.testing.assert_array_equal(reader.read(range(len(frames))), frames)
        with pytest.raises(IndexError, match=f"of {promised} frames"):
            reader.read([promised])


def test_damage_behind_the_wanted_frames_goes_unnoticed(folder: Path) -> None:
    # All packets are flagged as key frames, so that the read of frame 5 goes the full way.
    source = write_video(folder / "undamaged.mp4", "mpeg4", {"g": "12", "bf": "0"})
    frames = decode_all(str(source))
    path = copy_packets(source, folder / "damaged_end.mp4", flag_all_as_keyframes)
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    place = content.index(packets[40])
    content[place : place + len(packets[40])] = bytes(len(packets[40]))
    path.write_bytes(content)
    for indices in ([5], [5, 6]):
        with VideoReader(str(path)) as reader:
            np.testing.assert_array_equal(reader.read(indices), frames[indices])
            with pytest.raises(UnreadableVideo, match="Invalid data"):
                reader.read([44])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["b_frames.mp4", "plain.avi", "vp8.webm"])
def test_flipped_bits_are_an_error_or_what_a_full_decode_makes_of_them(
    name: str, seed: int, folder: Path
) -> None:
    source = folder / f"to_damage_{name}"
    if not source.exists():
        write_video(source, *SOUND[name])
    content = bytearray(source.read_bytes())
    generator = random.Random(seed)
    for _ in range(5):
        position = generator.randrange(len(content) // 3, len(content))
        content[position] ^= generator.randrange(1, 256)
    path = folder / f"damaged_{seed}_{name}"
    path.write_bytes(content)
    try:
        frames = decode_all(str(path))
    except UnreadableVideo:
        with (
            pytest.raises(UnreadableVideo, match="cannot be read"),
            VideoReader(str(path)) as reader,
        ):
            reader.read(range(reader.num_frames))
        return
    with VideoReader(str(path)) as reader:
        promised = reader.num_frames
    if promised == len(frames):
        assert_reads_like_a_full_decode(path, trials=8)
    else:  # the damage hit the headers of packets, and the index knows better
        assert (name, promised) == ("plain.avi", NUM_FRAMES)
        assert_each_frame_is_missing_or_as_before(path, decode_all(str(source)), frames)


def test_pictures_that_the_decoder_patches_up_are_those_of_a_full_decode(folder: Path) -> None:
    # Most of this damage is no error for the strict decoder, which patches it up in another way.
    options = {"g": "12", "bf": "0", "b": "300k"}
    source = write_video(folder / "to_patch.avi", "mpeg4", options, size=(320, 240), num_frames=12)
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content, packet = source.read_bytes(), packets[5]
    for share in (0.2, 0.4, 0.6, 0.8):
        damaged = bytearray(content)
        damaged[content.index(packet) + int(share * len(packet))] ^= 0x55
        frames = decode_all("damaged.avi", bytes(damaged))
        with VideoReader("damaged.avi", bytes(damaged)) as reader:
            np.testing.assert_array_equal(reader.read(range(3, 8)), frames[3:8], f"{share}")


def assert_each_frame_is_missing_or_as_before(
    path: Path, sound: np.ndarray, damaged: np.ndarray
) -> None:
    for index, frame in enumerate(sound):
        with VideoReader(str(path)) as reader:
            assert reader.num_frames == len(sound)
            try:
                [picture] = reader.read([index])
            except UnreadableVideo as error:
                assert "is missing" in str(error)  # noqa: PT017 - not every frame is
            else:
                candidates = [frame, *damaged[index : index + 1]]
                assert any(np.array_equal(picture, candidate) for candidate in candidates)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    "moved", [{}, {"movflags": "faststart"}], ids=["index last", "index first"]
)
def test_a_truncated_mp4_is_refused(share: float, moved: dict[str, str], folder: Path) -> None:
    source = write_video(folder / "whole.mp4", container_options=moved)
    path = folder / "truncated.mp4"
    path.write_bytes(source.read_bytes()[: int(source.stat().st_size * share)])
    with pytest.raises(UnreadableVideo, match=r"truncated\.mp4' cannot be read: "):
        VideoReader(str(path))


def sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        silence = np.zeros((1, 1024), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def frameless(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        container.start_encoding()


def of_no_known_codec(path: Path) -> None:
    content = write_video(path).read_bytes()
    path.write_bytes(content.replace(b"avc1", b"????"))


NO_VIDEOS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.mp4": (lambda path: None, "No such file"),
    "folder.mp4": (Path.mkdir, "it is a folder, a pipe or a device"),
    "empty.mp4": (Path.touch, "Invalid data"),
    "text.mp4": (lambda path: path.write_text("not a video\n" * 500), "Invalid data"),
    "text.txt": (lambda path: path.write_text("not a video\n" * 500), "no video stream"),
    "zeros.mp4": (lambda path: path.write_bytes(bytes(100_000)), "Invalid data"),
    "sound.mp4": (sound_only, "no video stream"),
    "unknown.mp4": (of_no_known_codec, "no decoder is known"),
    "frameless.avi": (frameless, "it holds no frame"),
}


@pytest.mark.parametrize("name", NO_VIDEOS)
def test_what_is_no_video_is_refused_by_name(name: str, tmp_path: Path) -> None:
    make, reason = NO_VIDEOS[name]
    path = tmp_path / name
    make(path)
    with pytest.raises(UnreadableVideo, match=reason) as raised:
        VideoReader(str(path))
    assert str(path) in str(raised.value)
    assert isinstance(raised.value, UserError)
    with pytest.raises(UnreadableVideo, match=reason):
        decode_all(str(path))


# --- real files -----------------------------------------------------------------------------------

SAMPLES = sorted(
    path.name for path in (DATA / "samples").glob("*.*") if path.name != "decord_corrupted.mp4"
)
# One in eleven, to keep the time down; they cover Xvid with and without packed B frames.
UCF101 = [str(path.relative_to(DATA)) for path in sorted((DATA / "ucf101_mini").rglob("*.avi"))][
    ::11
]


@needs_shared_data
@pytest.mark.parametrize("name", [f"samples/{name}" for name in SAMPLES] + UCF101)
def test_real_videos_read_like_a_full_decode(name: str) -> None:
    assert_reads_like_a_full_decode(DATA / name, trials=3)


@needs_shared_data
def test_a_video_with_a_wrong_frame_count_in_its_header() -> None:
    [path] = (DATA / "samples").glob("RATRACE*.avi")
    with VideoReader(str(path)) as reader:
        assert reader.num_frames == 72


@needs_shared_data
def test_a_video_corrupted_on_purpose() -> None:
    path = str(DATA / "samples" / "decord_corrupted.mp4")
    with VideoReader(path) as reader, pytest.raises(UnreadableVideo, match="Invalid data"):
        reader.read(range(0, reader.num_frames, 7))
