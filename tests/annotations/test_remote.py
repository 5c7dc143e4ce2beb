"""Bytes at addresses: parts of files, patience with busy servers, and what is not waited for."""

from __future__ import annotations

import fsspec
import pytest

from tests.range_server import serving
from timesformer.annotations import remote
from timesformer.annotations.remote import file_system, read_bytes
from timesformer.errors import UserError

DATA = bytes(range(256)) * 40


@pytest.fixture
def server(tmp_path, monkeypatch):
    (tmp_path / "file.tar").write_bytes(DATA)
    monkeypatch.setattr(remote, "_PAUSES", (0.01, 0.01, 0.01))
    with serving(tmp_path) as server:
        yield server


def test_parts_of_a_file_of_a_web_server(server):
    address = f"{server.url}/file.tar"
    assert read_bytes(address) == DATA
    assert read_bytes(address, 100, 1124) == DATA[100:1124]
    assert read_bytes(address, 10200, 99999) == DATA[10200:]


def test_a_busy_server_is_asked_again(server):
    server.refusals = 3
    assert read_bytes(f"{server.url}/file.tar", 5, 10) == DATA[5:10]
    assert len(server.requests) == 4
    server.refusals = 4
    with pytest.raises(OSError, match="503"):
        read_bytes(f"{server.url}/file.tar", 5, 10)


@pytest.mark.parametrize(
    ("name", "start", "words"), [("none.tar", 0, "none.tar"), ("file.tar", 99999, "416")]
)
def test_what_will_not_change_is_asked_once(server, name, start, words):
    with pytest.raises(OSError, match=words) as caught:
        read_bytes(f"{server.url}/{name}", start, start + 10)
    assert words in caught.value.strerror
    assert f"{server.url}/{name}" in caught.value.strerror
    assert len(server.requests) == 1


def test_a_silent_server_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(remote, "_TIMEOUT", 0.2)
    server.pause = 1.0
    with pytest.raises(OSError, match="Timeout"):
        read_bytes(f"{server.url}/file.tar", 0, 10)
    assert len(server.requests) == 4


def test_memory():
    fsspec.filesystem("memory").pipe_file("/place/file", DATA)
    assert read_bytes("memory://place/file", 3, 7) == DATA[3:7]
    fsspec.filesystem("memory").rm("/place", recursive=True)


def test_a_package_that_is_not_installed():
    try:
        import adlfs  # noqa: F401
    except ImportError:
        sentence = "begin with abfs:// need a package that is not installed: Install adlfs"
        with pytest.raises(UserError, match=sentence):
            file_system("abfs://container/file")
    else:
        pytest.skip("adlfs is installed")


def test_an_unknown_scheme():
    with pytest.raises(UserError, match="'nosuch://a/b' is no address that can be read: Proto"):
        read_bytes("nosuch://a/b")
