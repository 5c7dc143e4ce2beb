"""The optional decoder against our own, on made and real videos."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
import torch

from tests.datasets.test_decode import SOUND, copy_packets, rotated_clockwise, write_video
from tests.shared_data import DATA, needs_shared_data
from timesformer.datasets.decode import VideoReader
from timesformer.datasets.torchcodec_reader import TorchcodecReader, import_decoder
from timesformer.errors import UnreadableVideo, UserError


def is_usable() -> bool:
    try:
        import_decoder()
    except UserError:
        return False
    return True


needs_torchcodec = pytest.mark.skipif(not is_usable(), reason="torchcodec cannot be used")

INDICES = [7, 0, 30, 30, 49]


def assert_reads_the_same(
    path: Path, indices: list[int], *, tolerance: int = 0, **options: object
) -> None:
    with VideoReader(str(path)) as ours, TorchcodecReader(str(path), **options) as other:
        assert (other.num_frames, other.fps) == (ours.num_frames, ours.fps)
        assert other.ticks_per_frame == ours.ticks_per_frame
        assert other.frame_at(0.5) == ours.frame_at(0.5)
        expected, frames = ours.read(indices), other.read(indices)
    assert frames.dtype == np.uint8
    assert frames.shape == expected.shape
    assert np.abs(frames.astype(int) - expected).max() <= tolerance


@needs_torchcodec
@pytest.mark.parametrize("name", ["b_frames.mp4", "plain.avi", "one_group.mkv", "vp9.webm"])
def test_frames_are_those_of_our_reader(name: str, tmp_path: Path) -> None:
    codec, options = SOUND[name]
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    path = write_video(tmp_path / name, codec, options)
    assert_reads_the_same(path, INDICES)
    assert_reads_the_same(path, INDICES, data=path.read_bytes())


@needs_torchcodec
def test_rotation_is_applied(tmp_path: Path) -> None:
    path = write_video(tmp_path / "rotated.mp4", *SOUND["b_frames.mp4"])
    path.write_bytes(rotated_clockwise(path.read_bytes()))
    assert_reads_the_same(path, INDICES)


@needs_torchcodec
def test_an_edit_list(tmp_path: Path) -> None:
    def start_before_zero(number: int, packet: av.Packet) -> bool:
        packet.pts, packet.dts = packet.pts - 20 * 512, packet.dts - 20 * 512
        return True

    source = write_video(tmp_path / "source.mp4", *SOUND["b_frames.mp4"])
    path = copy_packets(source, tmp_path / "trimmed.mp4", start_before_zero)
    assert_reads_the_same(path, [0, 15, 29])


@needs_torchcodec
def test_what_it_would_number_wrongly_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "b_frames.avi", *SOUND["b_frames.avi"])
    with pytest.raises(UnreadableVideo, match="with DATA.DECODER 'pyav' it can be read"):
        TorchcodecReader(str(path))


@needs_torchcodec
def test_indices_outside_the_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "short.mp4", num_frames=5)
    with TorchcodecReader(str(path)) as reader:
        for indices in ([], [-1], [0, 5]):
            with pytest.raises(IndexError, match="of 5 frames"):
                reader.read(indices)


@needs_torchcodec
def test_what_is_no_video_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("not a video\n" * 500)
    with pytest.raises(UnreadableVideo, match=r"text\.mp4' cannot be read"):
        TorchcodecReader(str(path))


@needs_torchcodec
@needs_shared_data
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("R6llTwEh07w.mp4", 0),
        # Releases of FFmpeg round MPEG-4's inverse transform differently.
        ("v_SoccerJuggling_g23_c01.avi", 3),
        ("asl_eat.mkv", 0),
        ("torchcodec_nasa_13013.mp4", 0),
    ],
)
def test_real_videos(name: str, tolerance: int) -> None:
    assert_reads_the_same(DATA / "samples" / name, [40, 3, 46, 3], tolerance=tolerance)


@needs_torchcodec
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said(tmp_path: Path) -> None:
    path = write_video(tmp_path / "any.mp4", num_frames=2)
    with pytest.raises(UserError, match="needs an NVIDIA GPU, and PyTorch sees none"):
        TorchcodecReader(str(path), device="cuda")


@needs_torchcodec
@pytest.mark.gpu
def test_frames_from_a_gpu_are_ours_within_rounding(tmp_path: Path) -> None:
    # NVDEC needs pictures of a certain size. It decodes to the bit, but converts to RGB by itself.
    path = write_video(tmp_path / "large.mp4", *SOUND["b_frames.mp4"], size=(320, 256))
    assert_reads_the_same(path, INDICES, tolerance=3, device="cuda")


def test_without_torchcodec_the_answer_is_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    with pytest.raises(UserError, match="torchcodec cannot be used .*pip install torchcodec"):
        TorchcodecReader(str(tmp_path / "any.mp4"))


def test_without_ffmpeg_no_video_is_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases that can be imported without it say so in a number that is none."""
    package = ModuleType("torchcodec")
    package.ffmpeg_major_version = None
    decoders = ModuleType("torchcodec.decoders")
    decoders.VideoDecoder = object
    monkeypatch.setitem(sys.modules, "torchcodec", package)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", decoders)
    with pytest.raises(UserError, match="it finds no FFmpeg.*apt install ffmpeg"):
        TorchcodecReader(str(tmp_path / "any.mp4"))
