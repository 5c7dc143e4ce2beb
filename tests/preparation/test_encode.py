"""Re-encoding: the same frames in the same order at the same times, in short closed groups."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.frame import PictureType

from tests.datasets.test_decode import rotated_clockwise
from tests.preparation.made import assert_same_pictures, make_video, pictures, psnr
from tests.shared_data import DATA, needs_shared_data
from timesformer.datasets.decode import VideoReader, decode_all
from timesformer.errors import UnreadableVideo, UserError
from timesformer.preparation.clips import Clip
from timesformer.preparation.encode import VideoSettings, write_video

FINE = VideoSettings(crf=4)
# What is left at crf 4 of smooth pictures: two lossy codecs and two conversions to 4:2:0 in a row
# measured 40 and more; the nearest neighbours have 10.
SIMILAR = 36.0


def prepare(source: Path, settings: VideoSettings = FINE, **span: float) -> Path:
    target = source.with_name("prepared.mp4")
    made = write_video(Clip(str(source), **span), target, settings)
    with VideoReader(str(target)) as reader:
        assert (made.frames, made.bytes) == (reader.num_frames, target.stat().st_size)
    return target


@pytest.mark.parametrize("rate", [25, 12, Fraction(30000, 1001), Fraction(15, 2)])
@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mkv", "mpeg4")]
)
def test_frames_and_rate(name: str, codec: str, rate: Fraction | int, tmp_path: Path) -> None:
    source = make_video(tmp_path / name, rate=rate, codec=codec)
    target = prepare(source)
    assert_same_pictures(decode_all(str(target)), decode_all(str(source)), SIMILAR)
    with VideoReader(str(target)) as made, VideoReader(str(source)) as original:
        assert made.fps == pytest.approx(original.fps, rel=1e-9)
        assert made.fps == pytest.approx(float(rate), rel=1e-3)  # Matroska counts milliseconds


@pytest.mark.parametrize("gop", [8, 5, 1])
def test_groups_of_pictures(gop: int, tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", num_frames=21)
    target = prepare(source, VideoSettings(gop=gop))
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        context = container.streams.video[0].codec_context
        assert (context.codec.name, context.pix_fmt, context.has_b_frames) == ("h264", "yuv420p", 0)
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert [i for i, packet in enumerate(packets) if packet.is_keyframe] == [*range(0, 21, gop)]
        assert all(packet.pts == packet.dts for packet in packets)
        container.seek(0)
        kinds = {PictureType(frame.pict_type).name for frame in container.decode(video=0)}
        assert kinds == ({"I"} if gop == 1 else {"I", "P"})


@pytest.mark.parametrize(
    ("size", "short_side", "wanted"),
    [
        ((128, 96), 64, (86, 64)),  # 85.3 to even
        ((96, 128), 64, (64, 86)),
        ((64, 48), 64, (64, 48)),  # never enlarged
        ((65, 49), 64, (64, 48)),  # to even by cutting off a row and a column
        ((131, 99), 64, (84, 64)),
    ],
)
def test_sizes(
    size: tuple[int, int], short_side: int, wanted: tuple[int, int], tmp_path: Path
) -> None:
    source = make_video(tmp_path / "a.mp4", num_frames=3, size=size)
    made = decode_all(str(prepare(source, VideoSettings(crf=4, short_side=short_side))))
    assert made.shape == (3, wanted[1], wanted[0], 3)
    original = decode_all(str(source))
    if min(size) <= short_side:
        expected = original[:, : wanted[1], : wanted[0]]
    else:
        expected = np.stack([cv2.resize(p, wanted, interpolation=cv2.INTER_AREA) for p in original])
    assert_same_pictures(made, expected, SIMILAR)


def test_rotation_is_applied(tmp_path: Path) -> None:
    upright = make_video(tmp_path / "upright.mp4")
    source = tmp_path / "a.mp4"
    source.write_bytes(rotated_clockwise(upright.read_bytes()))
    made = decode_all(str(prepare(source)))
    turned = np.rot90(decode_all(str(upright)), -1, axes=(1, 2))
    assert_same_pictures(made, turned, SIMILAR)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_frames_at_uneven_times_keep_them(name: str, tmp_path: Path) -> None:
    times = [40 * index + (400 if index > 10 else 0) for index in range(20)]
    source = make_video(tmp_path / name, times_ms=times)
    target = prepare(source)
    assert_same_pictures(decode_all(str(target)), decode_all(str(source)), SIMILAR)
    with VideoReader(str(target)) as reader:
        assert [reader.frame_at(time / 1000) for time in times] == [*range(20)]
        assert reader.frame_at(0.401) == reader.frame_at(0.8) == 11


def test_times_that_are_only_rounded_become_even(tmp_path: Path) -> None:
    times = [round(1000 * index / 30) for index in range(20)]
    target = prepare(make_video(tmp_path / "a.mkv", times_ms=times, rate=30))
    with av.open(str(target)) as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert len({after - before for before, after in pairwise(stamps)}) == 1


@pytest.mark.parametrize(
    ("span", "frames"),
    [
        ({"start": 0.2, "end": 0.6}, slice(5, 15)),
        ({"start": 0.21}, slice(6, 20)),
        ({"end": 0.2}, slice(0, 5)),
        ({"start": 0.6, "end": 9.0}, slice(15, 20)),
    ],
)
def test_only_the_span_is_kept(span: dict[str, float], frames: slice, tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4")
    made = decode_all(str(prepare(source, **span)))
    assert_same_pictures(made, decode_all(str(source))[frames], SIMILAR)


def test_a_span_behind_the_end(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4")
    with pytest.raises(UnreadableVideo, match=r"no frame from 3 s to 4 s: it is 0\.8 s long"):
        prepare(source, start=3.0, end=4.0)


def test_folders_of_frames(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, image in enumerate(pictures(12)):
        cv2.imwrite(str(folder / f"img_{index + 1:05d}.png"), image[..., ::-1])
    settings = VideoSettings(crf=4, frames_fps=10.0)
    for path, frames in ((folder, slice(0, 12)), (folder / "img_[00003-00009].png", slice(2, 9))):
        target = prepare(Path(path), settings)
        assert_same_pictures(decode_all(str(target)), pictures(12)[frames], SIMILAR)
        with VideoReader(str(target)) as reader:
            assert reader.fps == 10


def test_images_of_different_sizes(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, width in enumerate((64, 80)):
        cv2.imwrite(str(folder / f"{index}.png"), pictures(1, width)[0])
    with pytest.raises(UnreadableVideo, match="its picture size changes"):
        prepare(folder)


def test_sound_is_dropped(tmp_path: Path) -> None:
    silent, source = make_video(tmp_path / "silent.mp4", num_frames=3), tmp_path / "a.mp4"
    with av.open(str(silent)) as reader, av.open(str(source), "w") as writer:
        copied = writer.add_stream_from_template(reader.streams.video[0])
        sound = writer.add_stream("aac", rate=16000, layout="mono")
        samples = np.zeros((1, 1024), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 16000
        writer.mux(sound.encode(frame))
        writer.mux(sound.encode(None))
        for packet in reader.demux(video=0):
            packet.stream = copied
            if packet.size:
                writer.mux(packet)
    with av.open(str(prepare(source))) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_the_same_file_every_time(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", size=(160, 128))
    first = prepare(source, VideoSettings()).read_bytes()
    assert prepare(source, VideoSettings()).read_bytes() == first


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"short_side": 255}, "--short-side is 255; it must be even"),
        ({"short_side": 8}, "--short-side is 8; it must be even, 16 or more"),
        ({"gop": 0}, "--gop is 0; it must be 1 or more"),
        ({"crf": 52}, "--crf is 52; it must be from 0 to 51"),
        ({"preset": "slowest"}, "--preset is 'slowest'; it must be one of ultrafast"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, int], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        VideoSettings(**changes)


@needs_shared_data
@pytest.mark.parametrize("name", [p.name for p in sorted((DATA / "samples").glob("*.*"))])
def test_real_videos(name: str, tmp_path: Path) -> None:
    source, target = DATA / "samples" / name, tmp_path / "a.mp4"
    if name == "decord_corrupted.mp4":
        with pytest.raises(UnreadableVideo, match="Invalid data"):
            write_video(Clip(str(source)), target, VideoSettings())
        return
    span = Clip(str(source), None, 2.0)  # for the time that it takes
    write_video(span, target, VideoSettings(short_side=8192))
    made = decode_all(str(target))
    with VideoReader(str(source)) as original, VideoReader(str(target)) as reader:
        assert len(made) == original.frame_at(2.0)
        frames = original.read(range(len(made)))
        assert reader.is_indexed
        assert reader.fps == pytest.approx(original.fps, rel=1e-6)
    height, width = made.shape[1:3]
    # Noise of real cameras, at the quality that is the default.
    assert psnr(made, frames[:, :height, :width]).mean() > 30
