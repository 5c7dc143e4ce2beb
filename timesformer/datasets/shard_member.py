"""The bytes of a video that lies in a tar file, local or at an address: one read of one range."""

from __future__ import annotations

import os

from timesformer.annotations.places import TarMember
from timesformer.annotations.remote import is_address, read_bytes
from timesformer.errors import UnreadableVideo


def read_member(member: TarMember) -> bytes:
    """All bytes of `member`.

    The tar file is opened each time, for tens of microseconds: videos come in random order, out of
    more shards than a process may hold open.

    Raises:
        UnreadableVideo: the shard is missing, unreachable, or ends before the video does.
    """
    try:
        data = _range(member.tar, member.offset, member.size)
    except OSError as error:
        raise UnreadableVideo(str(member), f"{error.strerror}") from error
    if len(data) != member.size:
        raise UnreadableVideo(
            str(member),
            f"the shard gave {len(data)} bytes for it, not {member.size}: the shard was cut short, "
            "is not the one of the index, or its server knows no ranges",
        )
    return data


def _range(path: str, offset: int, size: int) -> bytes:
    if is_address(path):
        return read_bytes(path, offset, offset + size)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _pread(descriptor, offset, size)
    finally:
        os.close(descriptor)


def _pread(descriptor: int, offset: int, size: int) -> bytes:
    """One system call, but for more than 2 GB, which come in pieces."""
    data = os.pread(descriptor, size, offset)
    while len(data) < size and (more := os.pread(descriptor, size - len(data), offset + len(data))):
        data += more
    return data
