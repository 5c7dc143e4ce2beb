"""A web server on this machine alone that hands out parts of files, and can misbehave."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Server:
    """Answers `refusals` requests with 503 and the next ones well, after `pause` seconds.

    `requests` are the paths that it was asked for.
    """

    url: str
    refusals: int = 0
    pause: float = 0.0
    knows_ranges: bool = True
    requests: list[str] = field(default_factory=list)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve the files of `folder` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20  # seconds without a word from the other side

        def do_GET(self) -> None:
            server.requests.append(self.path)
            time.sleep(server.pause)
            path = folder / self.path.lstrip("/")
            if server.refusals > 0:
                server.refusals -= 1
                self._answer(503, b"busy")
            elif not path.is_file():
                self._answer(404, b"")
            else:
                self._send(path.read_bytes())

        def _send(self, data: bytes) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if wanted is None or not server.knows_ranges:
                self._answer(200, data)
            elif int(wanted[1]) >= len(data):
                self._answer(416, b"")
            else:
                self._answer(206, data[int(wanted[1]) : int(wanted[2]) + 1])

        def _answer(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            with suppress(OSError):  # who asked may have left
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Nothing on the terminal."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.daemon_threads = True
    server = Server(f"http://127.0.0.1:{web.server_address[1]}")
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
