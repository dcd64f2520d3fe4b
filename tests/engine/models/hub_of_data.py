"""A small Hub on this machine with one dataset, `owner/words`, of several branches."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

CONVERTED = "refs/convert/parquet"


class HubOfData:
    """`branches` holds the files of each by their names, `card` the head of its README.

    `refuse` answers every question with a status and headers; `sent` lists the files that were sent; `cut` is the share
    of each file that is sent before the line goes dead.
    """

    def __init__(self) -> None:
        self.branches: dict[str, dict[str, bytes]] = {"main": {}}
        self.card: dict[str, Any] = {}
        self.refuse: tuple[int, dict[str, str]] | None = None
        self.served: dict[str, bytes] = {}  # what is sent in place of a file
        self.sent: list[str] = []
        self.cut = 1.0
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def commit(self, branch: str) -> str:
        return hashlib.sha1(branch.encode()).hexdigest()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(request.path).split("?")[0]
        if self.refuse is not None:
            self.send(request, self.refuse[0], b"{}", self.refuse[1])
            return
        for branch, files in self.branches.items():
            for named in (branch, self.commit(branch)):
                if path == f"/api/datasets/owner/words/revision/{named}" or (
                    path == "/api/datasets/owner/words" and branch == "main"
                ):
                    about = {"id": "owner/words", "sha": self.commit(branch), "cardData": self.card, "siblings": []}
                    self.send(request, 200, json.dumps(about).encode())
                    return
                if path == f"/api/datasets/owner/words/tree/{named}":
                    self.send(request, 200, json.dumps([entry(name, files[name]) for name in files]).encode())
                    return
                start = f"/datasets/owner/words/resolve/{named}/"
                if path.startswith(start) and (name := path.removeprefix(start)) in files:
                    head = {"ETag": f'"{etag(name, files[name])}"', "X-Repo-Commit": self.commit(branch)}
                    self.send(request, 200, self.served.get(name, files[name]), head, name)
                    return
        known = path.startswith("/api/datasets/owner/words/") or path.startswith("/datasets/owner/words/")
        self.send(request, 404, b"{}", {"X-Error-Code": "RevisionNotFound" if known else "RepoNotFound"})

    def send(
        self, request: Any, status: int, body: bytes, headers: dict[str, str] | None = None, name: str = ""
    ) -> None:
        request.send_response(status)
        for key, value in (headers or {}).items():
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            self.sent += [name] if name else []
            request.wfile.write(body[: int(len(body) * self.cut)] if name else body)
            request.close_connection = True


def etag(name: str, body: bytes) -> str:
    if name.endswith(".parquet"):
        return hashlib.sha256(body).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def entry(name: str, body: bytes) -> dict[str, Any]:
    """A file as the Hub lists it."""
    listed: dict[str, Any] = {"type": "file", "path": name, "size": len(body), "oid": etag(name, body)}
    if name.endswith(".parquet"):
        listed["lfs"] = {"oid": etag(name, body), "size": len(body), "pointerSize": 134}
    return listed


def parquet(rows: list[dict[str, Any]], folder: Path) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet

    file = folder / "rows.parquet"
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), file)
    return file.read_bytes()


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
