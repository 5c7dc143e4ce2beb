"""Where weights come from: `fetch` turns a path or an address into a local file or folder.

Downloads are kept and not asked for again. Files of the web go to torch's hub cache,
``$TORCH_HOME/hub/checkpoints``: those whose name holds their own hash straight into it, as
`torch.hub` would put them, others into a folder named by the hash of their address, so that two
files of one name never meet. ``hf://`` and ``timm://`` go to the cache of huggingface_hub.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import uuid
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import torch
from tqdm import tqdm

from timesformer.errors import UserError
from timesformer.weights.hub import CHUNK_BYTES, HUB_FORM, fetch_from_hub, hash_problem

log = logging.getLogger("timesformer")

SCHEMES = ("https", "http", "hf", "timm")
# torch's convention, name-<first digits of the sha256>.pth; digits alone are a date or a step.
HASH_IN_NAME = re.compile(r"-(?!\d+\.)([0-9a-f]{8,64})\.\w+$")
IN_ADDRESSES = "/%:@!$&'()*+,;=?"  # stay as they are; spaces and foreign letters do not
TIMEOUT_SECONDS = 20  # of silence, not of the whole download


def is_remote(source: str | Path) -> bool:
    """Whether `source` is an address that `fetch` can download from, and no path."""
    scheme, mark, _ = str(source).partition("://")
    return mark != "" and scheme.lower() in SCHEMES


def fetch(source: str | Path) -> Path:
    """The local file or folder of weights that `source` names, downloaded where need be.

    Args:
        source: a path; ``https://host/file``; ``hf://owner/repo[@revision][/file]``;
            ``timm://architecture.tag`` (without the tag, its default, if timm is installed).

    Returns:
        A file; or, where `source` names a folder or a whole repository, the folder that holds
        model.safetensors or pytorch_model.bin, and config.json if there is one.

    Raises:
        UserError: no such file, form, repository or network; or not the file its hash promises.
    """
    address = str(source)
    if is_remote(address):
        scheme = address.partition("://")[0].lower()
        return fetch_url(address) if scheme.startswith("http") else fetch_from_hub(address)
    if "://" in address:
        raise UserError(
            f"'{address}' cannot be fetched: weights are a path, https://host/file, {HUB_FORM} or "
            "timm://architecture.tag."
        )
    try:
        Path(source).stat()
    except (OSError, ValueError) as error:  # not there, not allowed, too long a name
        raise UserError(f"There is no weights file '{source}': check the path.") from error
    return Path(source)


def fetch_url(address: str) -> Path:
    """The file at an http(s) address; not asked for again if it is in the cache."""
    url = direct_url(address)
    path = cache_path(url)
    if not path.is_file():
        download(url, path)
    elif problem := hash_problem(path, promised_hash(path.name)):
        raise UserError(f"'{path}' {problem}. Delete it to have it downloaded again.")
    return path


def direct_url(address: str) -> str:
    """The address of the file itself: Dropbox sends a page about the file unless asked by dl=1."""
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise UserError(f"'{address}' is no address ({error}).") from error
    plain = unquote(parts.path)
    if not parts.hostname or "\0" in plain or PurePosixPath(plain).name in ("", ".."):
        raise UserError(f"'{address}' names no file: the form is https://host/folder/file.pth.")
    path, query = (quote(part, safe=IN_ADDRESSES) for part in (parts.path, parts.query))
    if f".{parts.hostname}".endswith(".dropbox.com"):
        query = urlencode({**dict(parse_qsl(query)), "dl": "1"})
    return urlunsplit(parts._replace(path=path, query=query, fragment=""))


def cache_path(url: str) -> Path:
    """Where the file at `url` is kept; the head of this file tells the rule."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    folder = "" if promised_hash(name) else hashlib.sha256(url.encode()).hexdigest()[:8]
    return Path(torch.hub.get_dir(), "checkpoints", folder, name)


def promised_hash(name: str) -> str:
    """The first digits of the sha256 that a file name promises; empty if it promises none."""
    match = HASH_IN_NAME.search(name)
    return match[1] if match else ""


def download(url: str, path: Path) -> None:
    """Downloads to a temporary file beside `path`, checks it, renames it: `path` is whole or not.

    `torch.hub.download_url_to_file` would wait for a silent server for ever, and keep both the part
    that came before a connection broke and the page that asks to sign in.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    log.info("Downloading %s to %s", url, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        receive(url, partial)
        if problem := hash_problem(partial, promised_hash(path.name)):
            raise OSError(f"what came {problem}")
        os.replace(partial, path)
    except (OSError, HTTPException, UnicodeError) as error:
        answer = f"{error.code} {error.reason}" if isinstance(error, HTTPError) else ""
        reason = f"the server answered {answer}" if answer else getattr(error, "reason", error)
        raise UserError(
            f"'{url}' could not be downloaded: {reason}. Check the address and the network, or put "
            f"the file at '{path}', or name a local path instead."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def receive(url: str, path: Path) -> None:
    """Writes what `url` answers to `path`; OSError if that is a page, or not all of it."""
    request = Request(url, headers={"User-Agent": "timesformer"})
    with urlopen(request, timeout=TIMEOUT_SECONDS) as answer, path.open("wb") as file:
        if answer.headers.get_content_type() == "text/html":
            raise OSError("the server answered with a web page instead of the file")
        announced = answer.headers.get("Content-Length", "")
        size = int(announced) if announced.isdecimal() else None
        with tqdm(total=size, unit="B", unit_scale=True, unit_divisor=1024) as bar:
            while chunk := answer.read(CHUNK_BYTES):
                bar.update(file.write(chunk))
        # http.client takes a connection that breaks for the end of the file.
        if size is not None and file.tell() != size:
            raise OSError(f"the connection broke after {file.tell()} of {size} bytes")
