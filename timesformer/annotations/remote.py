"""Bytes at an address such as s3://…, gs://…, https://… or memory://…, through fsspec."""

from __future__ import annotations

import time
from typing import Any

from fsspec.asyn import sync
from fsspec.core import url_to_fs

from timesformer.errors import UserError

# Object stores refuse a request now and then, most of all when many ask at once.
_PAUSES = (0.5, 2.0, 8.0)  # seconds before each further try
_TIMEOUT = 120.0  # seconds for one try


def is_address(path: str) -> bool:
    """Whether `path` is no path but an address."""
    return "://" in path


def file_system(address: str) -> tuple[Any, str]:
    """The file system that serves an address, and the path within it; kept by fsspec per process.

    Raises:
        UserError: the scheme is unknown, or needs a package that is not installed.
    """
    scheme = address.partition("://")[0]
    try:
        file_system, path = url_to_fs(address)
    except ImportError as error:
        raise UserError(
            f"addresses that begin with {scheme}:// need a package that is not installed: {error}."
        ) from None
    except ValueError as error:
        raise UserError(f"'{address}' is no address that can be read: {error}.") from None
    return file_system, path


def read_bytes(address: str, start: int | None = None, end: int | None = None) -> bytes:
    """The bytes `start` to `end` of a file at an address, all by default; tried several times.

    Raises:
        UserError: as `file_system`.
        OSError: there is no such file, it may not be read, or no try succeeded; `strerror`
            names the address and the reason.
    """
    for pause in (*_PAUSES, None):
        try:
            return _read_once(address, start, end)
        except UserError:
            raise
        except Exception as error:  # each file system raises what its own library does
            if pause is None or _is_final(error):
                words = str(error) or type(error).__name__
                raise OSError(0, f"{address}: {words}") from error
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _is_final(error: Exception) -> bool:
    """Whether another try would end the same way."""
    status = getattr(error, "status", None)  # of HTTP: 408 and 429 ask for patience
    refused = isinstance(status, int) and 400 <= status < 500 and status not in (408, 429)
    return refused or isinstance(error, (FileNotFoundError, PermissionError))


def _read_once(address: str, start: int | None, end: int | None) -> bytes:
    system, path = file_system(address)
    if system.async_impl:  # these alone can be waited for with a limit
        data = sync(system.loop, system._cat_file, path, start=start, end=end, timeout=_TIMEOUT)
    else:
        data = system.cat_file(path, start=start, end=end)
    return bytes(data)
