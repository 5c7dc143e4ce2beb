"""Read frames with torchcodec, on the CPU or on a GPU's video decoder (NVDEC).

An option for those whose files decode faster there; not installed unless asked for. The frames and
their numbers are those of `VideoReader`, which reads the file's index here. Pixels are the same on
the CPU (of MPEG-4 within a few grey levels, since releases of FFmpeg round its inverse transform
differently), and from NVDEC within the rounding of its conversion to RGB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from importlib import import_module
from types import TracebackType
from typing import Any, Literal

import numpy as np
import torch

from timesformer.datasets.decode import VideoReader
from timesformer.errors import UnreadableVideo, UserError


class TorchcodecReader:
    """An open video file that hands out frames by index; a `Reader`.

    Args:
        path: the file; with `data`, only a name for messages.
        data: the content of the file, where it is in memory.
        device: where to decode; frames come back to the host either way. With ``cuda`` in worker
            processes, these must not be forked from a process that has used CUDA.

    Raises:
        UserError: torchcodec or its FFmpeg is not installed, or there is no CUDA device.
        UnreadableVideo: as `VideoReader`; or torchcodec cannot tell the file's frames apart, as in
            an AVI with B frames.
    """

    def __init__(
        self, path: str, data: bytes | None = None, *, device: Literal["cpu", "cuda"] = "cpu"
    ) -> None:
        video_decoder = import_decoder()
        if device == "cuda" and not torch.cuda.is_available():
            raise UserError(
                "DATA.DECODER 'torchcodec_cuda' needs an NVIDIA GPU, and PyTorch sees none; "
                "set it to 'pyav' or 'torchcodec'"
            )
        self.path = path
        self._header = VideoReader(path, data)
        try:
            self.num_frames = self._header.num_frames
            self.fps = self._header.fps
            self.ticks_per_frame = self._header.ticks_per_frame
            self._decoder = self._open(video_decoder, path if data is None else data, device)
        except BaseException:
            self.close()
            raise

    def _open(self, video_decoder: Any, source: str | bytes, device: str) -> Any:
        try:
            decoder = video_decoder(source, dimension_order="NHWC", device=device)
        except (RuntimeError, ValueError) as error:
            raise UnreadableVideo(self.path, _first_line(error)) from error
        if not self._header.is_indexed or len(decoder) != self.num_frames:
            # It would number the frames wrongly, and say nothing.
            raise UnreadableVideo(
                self.path,
                "its packets do not tell which frame is which, and torchcodec relies on them; "
                "with DATA.DECODER 'pyav' it can be read",
            )
        return decoder

    def frame_at(self, seconds: float) -> int:
        """The first frame shown `seconds` or more after the first one; `num_frames` if none is."""
        return self._header.frame_at(seconds)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames `indices` (any order, repeats allowed) as RGB, uint8 (len(indices), H, W, 3).

        Raises:
            IndexError: an index is negative or not below `num_frames`.
            UnreadableVideo: torchcodec cannot decode a frame.
        """
        if not indices or min(indices) < 0 or max(indices) >= self.num_frames:
            raise IndexError(f"frames {indices} of a video of {self.num_frames} frames")
        try:
            frames = self._decoder.get_frames_at(list(indices)).data
        except (RuntimeError, ValueError, IndexError) as error:
            raise UnreadableVideo(self.path, _first_line(error)) from error
        return frames.cpu().numpy()

    def pictures(
        self, first: int = 0, end: int | None = None
    ) -> Iterator[tuple[np.ndarray, Fraction | None]]:
        """As of `VideoReader`, which reads them: all of them in order need no other decoder."""
        return self._header.pictures(first, end)

    def close(self) -> None:
        """Close the file. Reading afterwards is an error."""
        self._decoder = None
        self._header.close()

    def __enter__(self) -> TorchcodecReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def import_decoder() -> Any:
    """torchcodec's VideoDecoder; UserError where it cannot be imported, or finds no FFmpeg."""
    try:
        torchcodec = import_module("torchcodec")
        decoder = import_module("torchcodec.decoders").VideoDecoder
        # Newer releases can be imported without FFmpeg, and then open no video at all.
        if getattr(torchcodec, "ffmpeg_major_version", "unknown") is None:
            raise RuntimeError("it finds no FFmpeg")
    except (ImportError, RuntimeError, OSError) as error:
        raise UserError(
            f"torchcodec cannot be used ({_first_line(error)}); install the release of it that "
            "fits your PyTorch (`pip install torchcodec`) and FFmpeg's shared libraries "
            "(`apt install ffmpeg`), or set DATA.DECODER to 'pyav'"
        ) from error
    return decoder


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
