"""Sources of weights: local servers stand for the web and for the Hugging Face hub."""

from __future__ import annotations

import hashlib
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from timesformer.errors import UserError
from timesformer.weights.sources import cache_path, direct_url, fetch, is_remote, promised_hash

WEIGHTS = b"the weights of a network" * 100
SHA = hashlib.sha256(WEIGHTS).hexdigest()
OTHER_SHA = hashlib.sha256(b"others").hexdigest()
COMMITS = {"main": "a" * 40, "v1": "b" * 40}


class Handler(BaseHTTPRequestHandler):
    """Remembers what was asked for; subclasses answer."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        status, headers, body = self.answer(self.path)
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        raise NotImplementedError

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: `asked` is the log."""


class Web(Handler):
    """Files by the last part of their address."""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        name = path.rpartition("/")[2]
        if re.fullmatch(r"\d{3}\.pth", name):
            return int(name[:3]), {}, b""
        if name == "page.pth":
            return 200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>Sign in</html>"
        if name == "broken.pth":
            return 200, {"Content-Length": str(2 * len(WEIGHTS))}, WEIGHTS
        if name == "unsized.pth":
            return 200, {"Content-Length": ""}, WEIGHTS
        return 200, {}, path.encode() if name == "path.pth" else WEIGHTS


class Hub(Handler):
    """What a download uses of the hub's protocol: ``/owner/repo/resolve/revision/file``."""

    repos: dict[str, dict[str, bytes]]
    promises: dict[str, str]  # file -> sha256 that is not its own
    down = 0  # the status of every answer, if any
    requests_served = 1000  # before it answers nothing but 403
    lost_bytes = 0  # by how much files are shorter than they should be

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if len(self.asked) > self.requests_served:
            return 403, {}, b""
        match = re.fullmatch(r"/(\w+/[\w.-]+)/resolve/(\w+)/(.+)", path)
        if self.down or match is None:
            return self.down or 500, {}, b""
        repo, revision, file = match.groups()
        commit = COMMITS.get(revision) or revision
        if repo == "owner/gated":
            return 403, {"X-Error-Code": "GatedRepo"}, b""
        if repo not in self.repos:
            return 401, {"X-Error-Code": "RepoNotFound"}, b""
        if commit not in COMMITS.values():
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        if file not in self.repos[repo]:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
        body = self.repos[repo][file] + (b"" if revision == "main" else revision.encode())
        return 200, {"X-Repo-Commit": commit, **self.tags(file, body)}, body

    def tags(self, file: str, body: bytes) -> dict[str, str]:
        """Large files are tagged by their sha256, small ones by that of git, a sha1."""
        if file.endswith(".json"):
            return {"ETag": f'"{hashlib.sha1(body).hexdigest()}"'}
        sha = self.promises.get(file) or hashlib.sha256(body).hexdigest()
        return {"ETag": '"of-the-storage"', "X-Linked-Etag": f'"{sha}"'} | {
            "X-Linked-Size": str(len(body) + self.lost_bytes)
        }


@contextmanager
def serving(handler: type[Handler]) -> Iterator[str]:
    """The address of a server on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def torch_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def web(asked: list[str]) -> Iterator[str]:
    with serving(type("ThisWeb", (Web,), {"asked": asked})) as address:
        yield address


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a client that no setting of this machine reaches."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hub"


def point_client_at(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT does, which is read when the client is imported."""
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(asked: list[str], hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    both = {"config.json": b"{}", "model.safetensors": WEIGHTS, "pytorch_model.bin": b"older"}
    repos = {
        "owner/both": both,
        "owner/old": {"config.json": b"{}", "pytorch_model.bin": WEIGHTS},
        "owner/bare": {"deep/down/net.pth": WEIGHTS},
        "owner/sharded": {"config.json": b"{}", "pytorch_model.bin.index.json": b"{}"},
        "timm/vit_tiny.some_tag": both,
        "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k": both,
    }
    handler = type("ThisHub", (Hub,), {"asked": asked, "repos": repos, "promises": {}})
    with serving(handler) as endpoint:
        point_client_at(endpoint, monkeypatch)
        yield handler


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_a_path_is_itself(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(WEIGHTS)
    assert fetch(path) == fetch(str(path)) == path
    assert fetch(tmp_path) == tmp_path


def test_a_path_to_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no weights file .*nowhere\.pyth': check"):
        fetch(tmp_path / "nowhere.pyth")


@pytest.mark.parametrize("source", ["s3://bucket/a.pth", "file:///a.pth", "://a.pth"])
def test_other_schemes(source: str) -> None:
    assert not is_remote(source)
    with pytest.raises(
        UserError, match=f"'{source}' cannot be fetched: .*https://.*hf://.*timm://"
    ):
        fetch(source)


def test_what_is_remote() -> None:
    remote = ["https://h/a.pth", "http://h/a.pth", "HTTPS://h/a.pth", "hf://o/r", "timm://vit.tag"]
    assert all(map(is_remote, remote))
    assert not any(map(is_remote, ["https.pth", "hf:/o/r", "/data/timm/a.pth", Path("hf://o/r")]))


def test_a_download_is_kept(web: str, asked: list[str], torch_cache: Path) -> None:
    first = fetch(f"{web}/folder/weights.pth?version=1")
    assert first.read_bytes() == WEIGHTS
    assert first.name == "weights.pth"
    assert fetch(f"{web}/folder/weights.pth?version=1#part") == first
    assert asked == ["GET /folder/weights.pth?version=1"]
    assert files_under(torch_cache) == [first]


def test_a_name_with_spaces(web: str) -> None:
    assert fetch(f"{web}/our weights.pth").name == "our weights.pth"


def test_a_server_that_does_not_tell_the_size(web: str) -> None:
    assert fetch(f"{web}/unsized.pth").read_bytes() == WEIGHTS


def test_files_of_one_name_do_not_meet(web: str) -> None:
    paths = [
        fetch(f"{web}{where}") for where in ("/a/path.pth", "/b/path.pth", "/path.pth?a=/path.pth")
    ]
    assert [path.name for path in paths] == ["path.pth"] * 3
    assert len({path.read_bytes() for path in paths}) == 3


def test_a_file_with_its_hash_lies_where_torch_would_put_it(web: str, torch_cache: Path) -> None:
    assert fetch(f"{web}/deit-{SHA[:8]}.pth") == torch_cache / f"deit-{SHA[:8]}.pth"


def test_a_file_put_by_hand_is_taken_and_checked(asked: list[str], torch_cache: Path) -> None:
    url = f"https://nowhere.invalid/deit-{SHA[:8]}.pth"
    path = cache_path(url)
    path.parent.mkdir(parents=True)
    path.write_bytes(WEIGHTS)
    assert fetch(url).parent == torch_cache
    path.write_bytes(WEIGHTS[:-1])
    with pytest.raises(UserError, match=f"'{path}' is damaged .*not with {SHA[:8]}. Delete it"):
        fetch(url)


@pytest.mark.parametrize(
    ("name", "promised"),
    [
        ("deit_base_patch16_224-b5f2ef4d.pth", "b5f2ef4d"),
        ("timesformer_rgb-20220815-a4d0d01f.pth", "a4d0d01f"),
        (f"weights-{SHA}.safetensors", SHA),
        ("vit-b.pth", ""),
        ("weights-20220815.pth", ""),
        ("weights-b5f2ef4d-best.pth", ""),
    ],
)
def test_hashes_in_names(name: str, promised: str) -> None:
    assert promised_hash(name) == promised


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            f"deit-{OTHER_SHA[:8]}.pth",
            f"what came is damaged .*{SHA[:12]}, not with {OTHER_SHA[:8]}",
        ),
        ("401.pth", "the server answered 401 Unauthorized"),
        ("404.pth", "the server answered 404 Not Found"),
        ("503.pth", "the server answered 503 Service Unavailable"),
        ("page.pth", "the server answered with a web page instead"),
        ("broken.pth", f"the connection broke after {len(WEIGHTS)} of {2 * len(WEIGHTS)} bytes"),
    ],
)
def test_a_failed_download_leaves_nothing(
    web: str, torch_cache: Path, name: str, reason: str
) -> None:
    url = f"{web}/{name}"
    with pytest.raises(UserError, match=f"'{url}' could not .*{reason}.*at '{cache_path(url)}'"):
        fetch(url)
    assert files_under(torch_cache) == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:{}/a.pth", "Connection refused"),
        ("https://nowhere.invalid/a.pth", "(?i)name|resolution"),
        ("http://127.0.0.1:port/a.pth", "nonnumeric port"),
        ("http://127 0 0 1/a.pth", "can't contain control characters"),
        (f"http://{'a' * 64}.invalid/a.pth", "label"),
    ],
)
def test_no_server(closed_port: int, torch_cache: Path, url: str, reason: str) -> None:
    started = time.monotonic()
    with pytest.raises(UserError, match=reason) as caught:
        fetch(url.format(closed_port))
    assert "could not be downloaded" in str(caught.value)
    assert time.monotonic() - started < 5
    assert files_under(torch_cache) == []


def test_a_cache_that_cannot_be_written(web: str, tmp_path: Path) -> None:
    (tmp_path / "torch").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="could not be downloaded: .*Not a directory"):
        fetch(f"{web}/weights.pth")


@pytest.mark.parametrize(
    "url", ["https://host", "https://host/", "https:///a.pth", "http://h/a/.."]
)
def test_addresses_without_a_file(url: str) -> None:
    with pytest.raises(UserError, match=f"'{url}' names no file: the form is https://"):
        fetch(url)


def test_an_address_that_is_none() -> None:
    with pytest.raises(UserError, match=r"'https://\[h/a.pth' is no address \(Invalid IPv6"):
        fetch("https://[h/a.pth")


@pytest.mark.parametrize(
    ("address", "direct"),
    [
        ("https://www.dropbox.com/s/k/a.pyth?dl=0", "https://www.dropbox.com/s/k/a.pyth?dl=1"),
        ("https://www.dropbox.com/s/k/a.pyth", "https://www.dropbox.com/s/k/a.pyth?dl=1"),
        ("https://dropbox.com/a.pyth?rlkey=x&dl=0", "https://dropbox.com/a.pyth?rlkey=x&dl=1"),
        ("https://notdropbox.com/a.pyth?dl=0", "https://notdropbox.com/a.pyth?dl=0"),
        ("https://host/a.pyth?x=1#part", "https://host/a.pyth?x=1"),
        ("https://host/ä b%20c.pyth?x=ä", "https://host/%C3%A4%20b%20c.pyth?x=%C3%A4"),
    ],
)
def test_addresses_are_made_ready_to_ask(address: str, direct: str) -> None:
    assert direct_url(address) == direct


@pytest.mark.usefixtures("hub")
def test_a_repository_is_a_folder() -> None:
    folder = fetch("hf://owner/both")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.usefixtures("hub")
def test_an_old_repository_has_pickles() -> None:
    folder = fetch("hf://owner/old")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "pytorch_model.bin"]


@pytest.mark.usefixtures("hub")
def test_a_file_of_a_repository() -> None:
    path = fetch("hf://owner/bare/deep/down/net.pth")
    assert path.read_bytes() == WEIGHTS
    assert path.parts[-3:] == ("deep", "down", "net.pth")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("revision", ["v1", "b" * 40])
def test_a_revision(revision: str) -> None:
    path = fetch(f"hf://owner/both@{revision}/model.safetensors")
    assert path.read_bytes() == WEIGHTS + revision.encode()
    assert path.parent.name == COMMITS["v1"]


def test_a_hub_download_is_kept(hub: type[Hub], asked: list[str]) -> None:
    fetch("hf://owner/both")
    assert "GET /owner/both/resolve/main/model.safetensors" in asked
    asked.clear()
    fetch("hf://owner/both")
    assert asked
    assert not [request for request in asked if request.startswith("GET")]


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("hf://owner/none", "could not be fetched from http.*: there is no such repository, or"),
        ("timm://vit_tiny.no_tag", "could not be fetched from http.*: there is no such repository"),
        ("hf://owner/gated", "access must be asked for on its page"),
        ("hf://owner/both@v9", "the repository has no revision 'v9'"),
        ("hf://owner/both/net.pth", "owner/both has no file 'net.pth' at revision 'main'"),
        ("hf://owner/bare", "none of model.safetensors, pytorch_model.bin at .*name the file"),
        ("hf://owner/sharded", "'hf://owner/sharded' are cut into several files"),
        ("hf://owner/both/model.safetensors.index.json", "are cut into several files"),
        ("hf://owner", r"names nothing on the Hugging Face hub: write hf://owner/repo\[@rev"),
        ("hf://owner/both@/a", "names nothing on the Hugging Face hub"),
        ("hf://owner/both/", "names nothing on the Hugging Face hub"),
        ("timm://a/b.c", "names nothing in timm: write timm://architecture.tag"),
        ("hf://owner/a--b", "could not be fetched .*--"),
        ("hf://owner/both/../../a.pth", "could not be fetched"),
    ],
)
def test_what_the_hub_does_not_have(source: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        fetch(source)


def test_a_file_that_is_not_what_the_hub_promises(hub: type[Hub], hub_cache: Path) -> None:
    hub.promises["model.safetensors"] = OTHER_SHA
    with pytest.raises(
        UserError, match=f"damaged .*{SHA[:12]}, not with {OTHER_SHA[:12]}. It was removed"
    ):
        fetch("hf://owner/both")
    assert "model.safetensors" not in {path.name for path in hub_cache.rglob("*")}
    assert not list(hub_cache.rglob(OTHER_SHA))
    hub.promises.clear()
    assert (fetch("hf://owner/both") / "model.safetensors").read_bytes() == WEIGHTS


def test_half_a_file_of_the_hub_is_not_kept(hub: type[Hub], hub_cache: Path) -> None:
    hub.lost_bytes = 1
    with pytest.raises(UserError, match=f"should be of size {len(WEIGHTS) + 1} but has size"):
        fetch("hf://owner/both/model.safetensors")
    assert not [path for path in files_under(hub_cache) if path.stat().st_size >= len(WEIGHTS)]


@pytest.mark.usefixtures("hub")
def test_a_damaged_cache_is_noticed_and_healed() -> None:
    path = fetch("hf://owner/both/model.safetensors")
    path.resolve().write_bytes(WEIGHTS[:-1] + b"?")
    with pytest.raises(UserError, match="'model.safetensors' of 'hf://owner/both/.* is damaged"):
        fetch("hf://owner/both/model.safetensors")
    assert fetch("hf://owner/both/model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.usefixtures("hub")
def test_blobs_that_are_links_are_compared_with_their_own_names(hub_cache: Path) -> None:
    path = fetch("hf://owner/both/model.safetensors")
    blob = path.resolve()
    shared = hub_cache / ("c" * 64)  # the client's shared store, which names files by other hashes
    blob.rename(shared)
    blob.symlink_to(shared)
    assert fetch("hf://owner/both/model.safetensors").read_bytes() == WEIGHTS
    shared.write_bytes(b"damaged")
    with pytest.raises(UserError, match=f"is damaged .*not with {SHA[:12]}"):
        fetch("hf://owner/both/model.safetensors")
    assert not shared.exists()


def test_offline(hub: type[Hub], asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch("hf://owner/old")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked.clear()
    assert fetch("hf://owner/old") == folder
    with pytest.raises(UserError, match="'hf://owner/both' .*HF_HUB_OFFLINE is set.*hf download"):
        fetch("hf://owner/both")
    assert asked == []


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
def test_a_hub_that_is_down(
    hub: type[Hub], hub_cache: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder = fetch("hf://owner/both@v1")
    hub.down = status
    with caplog.at_level(logging.WARNING, logger="timesformer"):
        assert fetch("hf://owner/both@v1") == folder
    assert f"the server answered {status}; looking in the cache" in caplog.text
    elsewhere = re.escape(f"'{hub_cache}/models--owner--old'; or name a local path")
    command = "'hf download owner/old --revision main' on another machine"
    with pytest.raises(UserError, match=f"the server answered {status}.*{command}.*{elsewhere}"):
        fetch("hf://owner/old")


def test_a_hub_that_goes_down_between_two_requests(hub: type[Hub]) -> None:
    hub.requests_served = 1
    with pytest.raises(UserError, match="'hf://owner/both/.* could not be fetched .*locate the"):
        fetch("hf://owner/both/model.safetensors")


@pytest.mark.usefixtures("hub_cache")
def test_no_hub(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"http://127.0.0.1:{closed_port}"
    point_client_at(endpoint, monkeypatch)
    started = time.monotonic()
    with pytest.raises(UserError, match=f"'hf://owner/both' could not .*{endpoint}: .*refused"):
        fetch("hf://owner/both")
    assert time.monotonic() - started < 5


def test_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="'hf://owner/both' needs .*pip install huggingface_hub"):
        fetch("hf://owner/both")


@pytest.mark.usefixtures("hub")
def test_timm_by_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # not needed
    assert (fetch("timm://vit_tiny.some_tag") / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.usefixtures("hub")
def test_timm_without_tag() -> None:
    pytest.importorskip("timm")
    folder = fetch("timm://vit_tiny_patch16_224")
    assert "models--timm--vit_tiny_patch16_224.augreg_in21k_ft_in1k" in folder.parts


def test_timm_knows_no_such_name() -> None:
    pytest.importorskip("timm")
    with pytest.raises(UserError, match="no weights 'vit_tinny_patch16_224'.*: vit_tiny_patch16_"):
        fetch("timm://vit_tinny_patch16_224")


def test_timm_without_tag_and_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"names no tag.* such as timm://vit_base_patch16_224\."):
        fetch("timm://vit_base_patch16_224")
