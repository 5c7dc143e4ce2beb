"""Where the processes of a run meet: a store that one of them, or their parent, serves.

The store is torch's, on a socket of ours: torch's own would listen on every address of the machine.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import logging
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore

from timesformer.errors import UserError

log = logging.getLogger("timesformer")

LOOPBACK = "127.0.0.1"

# For waits of torch's own, which are ended by the watch when they are in vain.
PATIENCE = timedelta(days=1)

SECONDS_OF_SILENCE = 20.0
SECONDS_FOR_A_CONNECTION = 10.0
MAX_WAITING = 1024  # connections that have not been accepted yet


@dataclass(frozen=True)
class Address:
    """Where to meet; `origin` says who chose it. Port 0 is for the system to choose.

    `run` keeps apart what runs write that meet at one place by mistake.
    """

    host: str
    port: int
    origin: str
    run: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port} ({self.origin})"


def serve(address: Address, *, one_machine: bool) -> TCPStore:
    """A store that listens at `address`, for as long as the object lives.

    It listens on every address of this machine only if the host's name says less than that to the
    other machines of the run; the log says so.

    Raises:
        UserError: the port is taken, or the host is not this machine.
    """
    try:
        listener = listen(address, one_machine=one_machine)
    except OSError as error:
        taken = "; choose another port" if error.errno == errno.EADDRINUSE else ""
        raise UserError(
            f"the run's store cannot listen at {address}: {error.strerror or error}{taken}"
        ) from error
    host, port = listener.getsockname()[:2]
    return TCPStore(
        LOOPBACK if ipaddress.ip_address(host).is_unspecified else host,
        port,
        is_master=True,
        wait_for_workers=False,
        master_listen_fd=listener.detach(),
        use_libuv=False,  # the other implementation takes no socket
    )


def listen(address: Address, *, one_machine: bool) -> socket.socket:
    family, _, _, _, place = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM
    )[0]
    # A name may mean loopback on its own machine alone: Debian gives 127.0.1.1 to the host's.
    by_name = not is_ip(address.host) and address.host != "localhost"
    if one_machine or not (by_name and ipaddress.ip_address(place[0]).is_loopback):
        try:
            return socket.create_server(place[:2], family=family, backlog=MAX_WAITING)
        except OSError as error:
            if one_machine or error.errno != errno.EADDRNOTAVAIL:
                raise
    log.warning(
        "%s is no address of this machine that others could reach: the run's store listens on all",
        address,
    )
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    return socket.create_server(
        ("", address.port), family=family, backlog=MAX_WAITING, dualstack_ipv6=dual
    )


def is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def connect(address: Address, seconds: float) -> TCPStore:
    """A connection to the store at `address`.

    Raises:
        UserError: nobody has answered for so many seconds.
    """
    reason: Exception | None = None
    for _ in take_turns(seconds, f"the store of the run at {address}"):
        try:
            return try_to_connect(address)
        except (OSError, dist.DistError) as error:
            reason = error
    raise UserError(
        f"no store of a run answers at {address}: {str(reason).splitlines()[0]}. Is the process "
        "with rank 0 running there, is the address right, and open between the nodes? "
        f"(HANG_TIMEOUT_MINUTES is {seconds / 60:g}.)"
    ) from reason


def try_to_connect(address: Address) -> TCPStore:
    # First without torch, which would print a page on each attempt.
    place = (address.host, address.port)
    with socket.create_connection(place, timeout=SECONDS_FOR_A_CONNECTION) as probe:
        host = probe.getpeername()[0]
    store = TCPStore(
        host,
        address.port,
        is_master=False,
        wait_for_workers=False,
        timeout=timedelta(seconds=SECONDS_FOR_A_CONNECTION),
    )
    store.set_timeout(PATIENCE)
    return store


def meet(store: Store, run: str, rank: int, world_size: int, seconds: float) -> str:
    """Wait until every rank is here, and agree on a name for this meeting, to put before its keys.

    A store may outlive the processes: torchrun's does when it restarts them, and what the dead have
    written there must not be taken for the words of the living. So each process brings a number of
    its own; the main one reads them out until each has found itself in the list.

    Raises:
        UserError: not all are here after so many seconds.
    """
    lobby = PrefixStore(f"{run} meeting of {world_size}", store)
    mine = uuid.uuid4().hex
    lobby.set(f"here {rank}", mine)
    turns = take_turns(seconds, f"all {world_size} processes of the run to come together")
    try:
        name = call(lobby, world_size, turns) if rank == 0 else answer(lobby, rank, mine, turns)
    except dist.DistError as error:
        raise UserError(
            "the store of the run went away before all its processes had come together: look in "
            f"the log of rank 0 ({str(error).splitlines()[0]})"
        ) from error
    if name is not None:
        return name
    missing = [r for r in range(world_size) if not lobby.check([f"here {r}"])] if rank == 0 else [0]
    raise UserError(
        f"not all {world_size} processes of the run have come together: rank {rank} misses "
        f"{', '.join(map(str, missing[:8])) or 'an answer'}. Look in their logs, and whether all "
        f"were started with the same settings. (HANG_TIMEOUT_MINUTES is {seconds / 60:g}.)"
    )


def call(lobby: Store, world_size: int, turns: Iterator[None]) -> str | None:
    here = [f"here {rank}" for rank in range(world_size)]
    found = [f"found {rank}" for rank in range(1, world_size)]
    roll, name = b"", ""
    for _ in turns:
        if not lobby.check(here):
            continue
        if (now := b" ".join(lobby.multi_get(here))) != roll:
            roll, name = now, name_of(now)
            lobby.set("roll", roll.decode())
        if lobby.check(found) and set(lobby.multi_get(found)) <= {name.encode()}:
            lobby.set("complete", name)
            return name
    return None


def answer(lobby: Store, rank: int, mine: str, turns: Iterator[None]) -> str | None:
    for _ in turns:
        if not lobby.check(["roll"]):
            continue
        roll = lobby.get("roll")
        if roll.split()[rank].decode() != mine:
            continue
        lobby.set(f"found {rank}", name_of(roll))
        if lobby.check(["complete"]) and lobby.get("complete").decode() == name_of(roll):
            return name_of(roll)
    return None


def name_of(roll: bytes) -> str:
    return hashlib.sha256(roll).hexdigest()[:16]


def take_turns(seconds: float, what: str) -> Iterator[None]:
    """At first every few hundredths of a second, then every second; says so if it takes long."""
    start, said = time.monotonic(), False
    while (passed := time.monotonic() - start) < seconds:
        yield
        time.sleep(min(0.02 + passed / 10, 1.0))
        if passed > SECONDS_OF_SILENCE and not said:
            log.warning("waiting for %s, for %.0f min at most", what, seconds / 60)
            said = True
