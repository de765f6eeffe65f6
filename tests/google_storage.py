"""As much of Google Cloud Storage as obstore asks for, in this process: its XML API, by its documentation."""

import hashlib
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_PAGE = 40  # names in an answer, where the service has 1000


@dataclass(frozen=True)
class _Held:
    content: bytes
    generation: int

    @property
    def e_tag(self) -> str:
        return f'"{hashlib.md5(self.content, usedforsecurity=False).hexdigest()}"'


@dataclass
class GoogleStorage:
    """The service: one bucket, and the only token that may use it."""

    bucket: str
    token: str
    address: str = ""
    held: dict[str, _Held] = field(default_factory=dict)
    generations: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def served(bucket: str, *, token: str) -> Iterator[GoogleStorage]:
    """The service, for as long as the context lasts."""
    service = GoogleStorage(bucket, token)
    handler = type("Handler", (_Handler,), {"service": service})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    service.address = "http://{}:{}".format(*server.server_address)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield service
    server.shutdown()
    server.server_close()
    thread.join()


class _Handler(BaseHTTPRequestHandler):
    service: GoogleStorage
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if (name := self._asked()) is None:
            return
        if not name:
            return self._list()
        held = self.service.held.get(name)
        if held is None:
            return self._refuse(404, "NoSuchKey")
        if self.headers.get("If-Match") not in (None, held.e_tag):
            return self._refuse(412, "PreconditionFailed")
        content, status, told = held.content, 200, {}
        if asked := self.headers.get("Range"):
            start, stop = asked.removeprefix("bytes=").split("-")
            content, status = content[int(start) : int(stop) + 1], 206
            told["Content-Range"] = f"bytes {start}-{int(start) + len(content) - 1}/{len(held.content)}"
        self._answer(status, content, **told, **self._told(held))

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not (name := self._asked()):
            return
        with self.service.lock:
            before, asked = self.service.held.get(name), self.headers.get("x-goog-if-generation-match")
            if asked is not None and int(asked) != (before.generation if before else 0):
                return self._refuse(412, "PreconditionFailed")
            held = self.service.held[name] = _Held(content, next(self.service.generations))
        self._answer(200, b"", **self._told(held))

    def do_DELETE(self) -> None:
        if name := self._asked():
            if self.service.held.pop(name, None) is None:
                return self._refuse(404, "NoSuchKey")
            self._answer(204, b"")

    def _list(self) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        names = sorted(name for name in self.service.held if name.startswith(query.get("prefix", "")))
        names = [name for name in names if name > query.get("continuation-token", "")]
        parts = []
        for name in names[:_PAGE]:
            held = self.service.held[name]
            parts.append(
                f"<Contents><Key>{escape(name)}</Key><Generation>{held.generation}</Generation>"
                f"<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{escape(held.e_tag)}</ETag>"
                f"<Size>{len(held.content)}</Size></Contents>"
            )
        if names[_PAGE:]:
            parts.append(f"<NextContinuationToken>{escape(names[_PAGE - 1])}</NextContinuationToken>")
        truncated = "true" if names[_PAGE:] else "false"
        told = f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{''.join(parts)}</ListBucketResult>"
        self._answer(200, told.encode())

    def _asked(self) -> str | None:
        """The name of the object, empty for the bucket itself; None where the request is refused."""
        bucket, _, name = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        if self.headers.get("Authorization") != f"Bearer {self.service.token}":
            self._refuse(401, "AuthenticationRequired")
        elif bucket != self.service.bucket:
            self._refuse(404, "NoSuchBucket")
        else:
            return name
        return None

    @staticmethod
    def _told(held: _Held) -> dict[str, str]:
        told = {"ETag": held.e_tag, "x-goog-generation": str(held.generation)}
        return told | {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>Refused.</Message></Error>".encode())

    def _answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
