"""Where processes meet: who listens where, who is missing, and what the dead have left behind."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from torch.distributed import PrefixStore, TCPStore

from timesformer.distributed.rendezvous import LOOPBACK, Address, connect, meet, serve
from timesformer.errors import UserError

FREE = Address(LOOPBACK, 0, "chosen by the system")


def listening_at(port):
    """The addresses at which this process listens on `port`."""
    return [
        found.laddr.ip
        for found in psutil.Process().net_connections("inet")
        if found.status == psutil.CONN_LISTEN and found.laddr.port == port
    ]


def free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "one_machine"),
    [(LOOPBACK, True), ("localhost", True), ("localhost", False), ("127.0.0.2", False)],
)
def test_the_store_listens_where_told(host, one_machine):
    server = serve(Address(host, 0, "test"), one_machine=one_machine)
    (ip,) = listening_at(server.port)
    assert ip in (host, LOOPBACK, "::1")
    store = connect(Address(host, server.port, "test"), 5)
    store.set("a", "1")
    assert server.get("a") == b"1"


def test_a_name_that_means_loopback_here_alone_is_not_taken_at_its_word(caplog):
    """As Debian's 127.0.1.1 for the machine's own name: other nodes could not come."""
    name = socket.gethostname()
    if name == "localhost" or not socket.gethostbyname(name).startswith("127."):
        pytest.skip("this machine's name is not a name of its loopback")
    server = serve(Address(name, 0, "test"), one_machine=False)
    (ip,) = listening_at(server.port)
    assert ip in ("::", "0.0.0.0")
    assert "listens on all" in caplog.text


def test_a_taken_port_is_told():
    server = serve(FREE, one_machine=True)
    address = Address(LOOPBACK, server.port, "INIT_METHOD")
    words = (
        rf"cannot listen at 127.0.0.1:{server.port} \(INIT_METHOD\): .* in use .*; choose another"
    )
    with pytest.raises(UserError, match=words):
        serve(address, one_machine=True)


def test_an_address_of_another_machine_is_told():
    with pytest.raises(UserError, match="cannot listen at 192.0.2.1:4000"):
        serve(Address("192.0.2.1", 4000, "INIT_METHOD"), one_machine=True)


@pytest.mark.parametrize(
    ("host", "reason"),
    [(LOOPBACK, "refused"), ("no-such-host.invalid", "[Nn]ame .*known")],
)
def test_an_address_that_does_not_answer_is_told(host, reason):
    with pytest.raises(
        UserError, match=rf"no store of a run answers at {host}:.*{reason}"
    ) as caught:
        connect(Address(host, free_port(), "INIT_METHOD"), 0.2)
    assert "\n" not in str(caught.value)


def meeting(store: TCPStore, run, numbers, world_size, seconds=10.0):
    """The names that processes with those numbers agree on, each over its own connection."""
    address = Address(LOOPBACK, store.port, "test")

    def one(rank):
        return meet(connect(address, 5), run, rank, world_size, seconds)

    with ThreadPoolExecutor(len(numbers)) as pool:
        return list(pool.map(one, numbers))


def test_all_agree_on_a_name_and_on_another_the_next_time():
    """The store outlives them, as torchrun's does when it restarts its workers."""
    store = serve(FREE, one_machine=True)
    names = [meeting(store, "", range(3), 3) for _ in range(3)]
    assert [len(set(name)) for name in names] == [1, 1, 1]
    assert len({name[0] for name in names}) == 3


def test_those_who_are_missing_are_named():
    store = serve(FREE, one_machine=True)
    with pytest.raises(UserError, match="not all 4 processes .* rank 0 misses 2, 3"):
        meeting(store, "", [0, 1], 4, 0.5)


def test_a_store_that_goes_away_is_told():
    stores = [serve(FREE, one_machine=True)]
    with ThreadPoolExecutor(1) as pool:
        store = connect(Address(LOOPBACK, stores[0].port, "test"), 5)
        waits = pool.submit(meet, store, "", 1, 2, 10.0)
        while not stores[0].check([" meeting of 2/here 1"]):
            time.sleep(0.01)
        stores.clear()
        with pytest.raises(UserError, match="went away before .* look in the log of rank 0"):
            waits.result()


def test_runs_that_meet_at_one_place_by_mistake_keep_apart():
    store = serve(FREE, one_machine=True)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(meeting, store, "job 1", range(2), 2)
        second = pool.submit(meeting, store, "job 2", range(2), 2)
        assert len({*first.result(), *second.result()}) == 2


def test_what_the_dead_have_written_is_not_believed():
    """Both ranks of a first attempt were here; of the second, rank 0 comes late."""
    store = serve(FREE, one_machine=True)
    (name, _) = meeting(store, "", range(2), 2)
    PrefixStore(name, store).set("address of rank 0", "long gone")
    with pytest.raises(UserError, match="rank 1 misses 0"):
        meeting(store, "", [1], 2, 0.5)
