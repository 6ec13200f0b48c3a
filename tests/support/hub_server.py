"""A local HTTP endpoint that speaks as much of the hub's protocol as a download needs, and can cut connections."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class HubState:
    """What the endpoint serves and what was asked of it.

    Attributes:
        folder: the repository's files.
        cut: file name -> bytes after which every connection for it breaks (removed to heal the network).
        slow: files sent in small pieces with a pause between them.
        corrupt: files whose first byte is changed on the way.
        served: file name -> list of (first byte, bytes sent).
    """

    folder: Path
    cut: dict[str, int] = field(default_factory=dict)
    slow: set[str] = field(default_factory=set)
    corrupt: set[str] = field(default_factory=set)
    served: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def siblings(self) -> list[dict[str, Any]]:
        rows = []
        for path in sorted(p for p in self.folder.rglob("*") if p.is_file()):
            data = path.read_bytes()
            row: dict[str, Any] = {"rfilename": path.relative_to(self.folder).as_posix(), "size": len(data)}
            row["blobId"] = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
            if path.suffix in (".safetensors", ".bin"):
                row["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            rows.append(row)
        return rows


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5
    state: HubState

    def log_message(self, *_args: Any) -> None: ...

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/api/models/"):
            data = {"id": "toy/toy", "sha": COMMIT, "siblings": self.state.siblings(), "tags": [], "private": False}
            return self._send(json.dumps(data).encode(), "application/json", body)
        match = re.fullmatch(r"/[^/]+/[^/]+/resolve/([^/]+)/(.+)", path)
        file = self.state.folder / match.group(2) if match else None
        if file is None or not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self._one_request_per_connection()
            self.end_headers()
            return None
        return self._send_file(match.group(2), file.read_bytes(), body)

    def _one_request_per_connection(self) -> None:
        # No thread must wait for a kept-alive client when the test ends.
        self.send_header("Connection", "close")
        self.close_connection = True

    def _send(self, data: bytes, kind: str, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self._one_request_per_connection()
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def _send_file(self, name: str, data: bytes, body: bool) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted.group(1)) if wanted else 0
        total = len(data)
        if name in self.state.corrupt:
            data = bytes([data[0] ^ 1]) + data[1:]
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self._one_request_per_connection()
        self.send_header("Content-Length", str(total - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        if not body:
            return
        stop = min(total, max(start, self.state.cut.get(name, total)))
        self.state.served.setdefault(name, []).append((start, stop - start))
        piece = 16_384 if name in self.state.slow else max(1, stop - start)
        for first in range(start, stop, piece):
            try:
                self.wfile.write(data[first : min(first + piece, stop)])
            except OSError:
                return
            if name in self.state.slow:
                time.sleep(0.05)
        if stop < total:
            self.wfile.flush()


@contextmanager
def hub_server(folder: Path) -> Iterator[tuple[str, HubState]]:
    """Serve `folder` as a model repository; yields (endpoint, state)."""
    state = HubState(folder)
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="hub-server")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
