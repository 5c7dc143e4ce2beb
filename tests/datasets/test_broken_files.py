"""Broken files are read, or refused by name: no crash, no hang, no other exception.

A decoder that runs into the memory of others takes the process with it. So every corpus is read by
a process of its own, with a limit on its memory and on its time.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.datasets.test_decode import SOUND, sound_only, write_video
from tests.shared_data import DATA, needs_shared_data
from timesformer.datasets.decode import VideoReader
from timesformer.errors import UnreadableVideo

WHOLE = {"mp4": "b_frames.mp4", "avi": "plain.avi", "mkv": "one_group.mkv"}

# Reads every file named on its standard input as training and a test would, and prints what became
# of it. 3 GiB: a header may claim any size of picture.
READ_ALL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
from timesformer.datasets.decode import VideoReader
from timesformer.errors import UnreadableVideo
for path in sys.stdin.read().splitlines():
    for data in (None, open(path, "rb").read()):
        try:
            with VideoReader(path, data) as reader:
                n = reader.num_frames
                assert len(reader.read([n - 1, 0, n // 2])) == 3
                assert len(reader.read([n // 3])) == 1
                assert 0 <= reader.frame_at(0.5) <= n
            print("read", path, flush=True)
        except UnreadableVideo as error:
            assert path in str(error) and error.reason, error
            print("refused", path, flush=True)
"""


def read_in_a_process_of_its_own(paths: list[Path]) -> list[str]:
    """What became of each path, from a file and from memory: ``read`` or ``refused``."""
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL],
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (done.stdout[-500:], done.stderr[-3000:])
    lines = done.stdout.splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [str(p) for p in paths for _ in "12"]
    return [line.split(" ", 1)[0] for line in lines]


def truncated(content: bytes) -> Iterator[bytes]:
    for tenth in range(1, 10):
        yield content[: len(content) * tenth // 10]


def flipped(content: bytes, *, seed: int, bits: int, first: int, end: int) -> bytes:
    """`content` with `bits` bits flipped in bytes `first` to `end`."""
    generator = random.Random(seed)
    damaged = bytearray(content)
    for _ in range(bits):
        damaged[generator.randrange(first, end)] ^= 1 << generator.randrange(8)
    return bytes(damaged)


def write_all(folder: Path, kind: str, contents: list[bytes]) -> list[Path]:
    paths = [folder / f"{number}.{kind}" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def whole(kind: str, folder: Path) -> bytes:
    return write_video(folder / f"whole.{kind}", *SOUND[WHOLE[kind]]).read_bytes()


@pytest.mark.parametrize("kind", WHOLE)
def test_truncated_files(kind: str, tmp_path: Path) -> None:
    paths = write_all(tmp_path, kind, list(truncated(whole(kind, tmp_path))))
    outcomes = read_in_a_process_of_its_own(paths)
    if kind == "mp4":  # its index is last
        assert set(outcomes) == {"refused"}


def test_a_truncated_mp4_with_its_index_first(tmp_path: Path) -> None:
    path = tmp_path / "whole.mp4"
    write_video(path, *SOUND["b_frames.mp4"], container_options={"movflags": "faststart"})
    paths = write_all(tmp_path, "mp4", list(truncated(path.read_bytes())))
    assert set(read_in_a_process_of_its_own(paths)) == {"refused"}


@pytest.mark.parametrize("kind", WHOLE)
def test_bits_flipped_anywhere(kind: str, tmp_path: Path) -> None:
    content = whole(kind, tmp_path)
    contents = [
        flipped(content, seed=seed, bits=1 + 3 * seed, first=0, end=len(content))
        for seed in range(25)
    ]
    read_in_a_process_of_its_own(write_all(tmp_path, kind, contents))


@pytest.mark.parametrize("kind", WHOLE)
def test_bits_flipped_where_the_headers_are(kind: str, tmp_path: Path) -> None:
    content = whole(kind, tmp_path)
    index = {"mp4": content.find(b"moov"), "avi": content.rfind(b"idx1"), "mkv": len(content) - 200}
    contents = [
        flipped(content, seed=seed, bits=1 + seed % 5, first=first, end=end)
        for seed in range(20)
        for first, end in ((0, 500), (index[kind], len(content)))
    ]
    read_in_a_process_of_its_own(write_all(tmp_path, kind, contents))


@pytest.mark.slow
@needs_shared_data
def test_bits_flipped_in_real_files(tmp_path: Path) -> None:
    for name in ("torchcodec_h265_video.mp4", "asl_eat.mkv", "ssv2_121896_with_masks.webm"):
        content = (DATA / "samples" / name).read_bytes()
        contents = [
            flipped(content, seed=seed, bits=20, first=0, end=len(content)) for seed in range(4)
        ]
        read_in_a_process_of_its_own(write_all(tmp_path, name, contents))


def refused(path: Path, reason: str) -> None:
    with pytest.raises(UnreadableVideo, match=reason) as raised:
        VideoReader(str(path))
    assert raised.value.path == str(path)


@pytest.mark.parametrize("kind", WHOLE)
def test_what_is_no_video(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"any.{kind}"
    refused(path, "No such file")
    path.touch()
    refused(path, "Invalid data|End of file|no video stream")
    path.write_text("<html>404 Not Found</html>\n" * 100)
    refused(path, "Invalid data|End of file|no video stream")
    sound_only(path)
    refused(path, "no video stream")


def test_a_play_list_is_not_followed(tmp_path: Path) -> None:
    video = write_video(tmp_path / "whole.mp4", num_frames=3)
    path = tmp_path / "list.mp4"
    for text in (f"ffconcat version 1.0\nfile '{video}'\n", f"#EXTM3U\n#EXTINF:1,\n{video}\n"):
        path.write_text(text)
        refused(path, "Invalid data|not permitted|Permission")


# Without a writer, to open a pipe waits for ever.
@pytest.mark.timeout(30)
def test_what_is_no_file(tmp_path: Path) -> None:
    pipe, loop = tmp_path / "pipe.mp4", tmp_path / "loop.mp4"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    refused(tmp_path, "a folder, a pipe or a device")
    refused(pipe, "a folder, a pipe or a device")
    refused(Path("/dev/zero"), "a folder, a pipe or a device")
    refused(loop, "symbolic links")
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "missing.mp4")
    refused(tmp_path / "dangling.mp4", "No such file")


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "private.mp4", num_frames=3)
    path.chmod(0)
    with as_nobody():
        refused(path, "Permission denied")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, which may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
