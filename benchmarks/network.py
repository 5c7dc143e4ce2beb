"""Bytes that processes of this machine really send each other."""

from __future__ import annotations

import fcntl
import shutil
import socket
import struct
import subprocess
from pathlib import Path

COUNTERS = Path("/proc/net/dev")
SIOCSIFFLAGS, IFF_UP_AND_RUNNING = 0x8914, 0x41
LOOPBACK = "lo"


def alone() -> list[str] | None:
    """What to put before a command so that it has a loopback of its own; None where it cannot be.

    Then nobody else's bytes are counted.
    """
    if shutil.which("unshare") is None:
        return None
    for prefix in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            return prefix
    return None


def switch_on() -> None:
    """The loopback of a network that is new is off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", LOOPBACK.encode(), IFF_UP_AND_RUNNING)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)


def sent_bytes() -> int:
    """All that has gone over loopback, headers and acknowledgements included; 0 but on Linux."""
    if not COUNTERS.exists():
        return 0
    for line in COUNTERS.read_text(encoding="utf-8").splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == LOOPBACK:
            return int(counters.split()[8])
    raise LookupError(f"{COUNTERS} has no {LOOPBACK}")
