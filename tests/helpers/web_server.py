"""A web server on this machine that fails in every way a mirror can."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What stands at a path; each request takes one of `faults`, and honest answers come after the last of them.

    `version` are the headers that name it; without `ranges` the server sends all of it whatever it is asked.
    """

    body: bytes
    version: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    ranges: bool = True
    faults: list[Fault] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """Answers GET from the server's pages and remembers what was asked."""

    server: Server

    def do_GET(self) -> None:
        """Answer with the next fault of the page, else honestly."""
        self.server.asked.append((self.path, dict(self.headers)))
        page = self.server.pages.get(self.path)
        if page is None:
            self.send_error(404)
            return
        with contextlib.suppress(ConnectionError):
            (page.faults.pop(0) if page.faults else honest())(self, page)

    do_HEAD = do_GET  # the body that follows is not read: the connection ends

    def head(self, status: int, headers: dict[str, str]) -> None:
        """Send a status line and headers."""
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


Fault = Callable[[Handler, Page], None]


class Server(ThreadingHTTPServer):
    """Pages by path, and the requests there were: path and headers."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self.server_port}{path}"

    def ranges(self) -> list[str | None]:
        """Return what every request so far said of ranges."""
        return [headers.get("Range") for _, headers in self.asked]


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Yield a running server."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


def honest(cut: int | None = None, if_range: bool = True, **more: str) -> Fault:
    """Answer as one should, with ranges; `cut` breaks the connection after so many bytes.

    Without `if_range` the condition of a range is ignored. `more` headers come on top, `_` for `-`.
    """

    def answer(handler: Handler, page: Page) -> None:
        begin = _begin(handler, page, if_range)
        extra = page.version | {key.replace("_", "-"): value for key, value in more.items()}
        if begin and begin >= len(page.body):
            handler.head(416, {"Content-Range": f"bytes */{len(page.body)}"})
            return
        body = page.body[begin:]
        told = {"Content-Length": str(len(body))}
        if begin:
            told["Content-Range"] = f"bytes {begin}-{len(page.body) - 1}/{len(page.body)}"
        handler.head(206 if begin else 200, told | extra)
        handler.wfile.write(body[:cut])

    return answer


def status(code: int, **headers: str) -> Fault:
    """Answer with an error or a redirect."""
    return lambda handler, page: handler.head(code, {key.replace("_", "-"): headers[key] for key in headers})


def unmeasured(extra: bytes = b"") -> Fault:
    """Send everything and more without saying how much it is."""

    def answer(handler: Handler, page: Page) -> None:
        handler.head(200, page.version)
        handler.wfile.write(page.body + extra)

    return answer


def endless() -> Fault:
    """Send zeros until the other side has enough."""

    def answer(handler: Handler, page: Page) -> None:
        handler.head(200, page.version)
        while True:
            handler.wfile.write(bytes(1 << 16))

    return answer


def hang(after: int = 0) -> Fault:
    """Send some bytes, then nothing."""

    def answer(handler: Handler, page: Page) -> None:
        handler.head(200, page.version | {"Content-Length": str(len(page.body))})
        handler.wfile.write(page.body[:after])
        handler.server.closing.wait(10)

    return answer


def raw(answer: bytes) -> Fault:
    """Send these bytes in place of an answer, or none."""

    def send(handler: Handler, page: Page) -> None:
        handler.wfile.write(answer)

    return send


def changing(body: bytes, tag: str, if_range: bool = True) -> Fault:
    """Put another version in place of the page, then answer honestly."""

    def answer(handler: Handler, page: Page) -> None:
        page.body, page.version = body, {"ETag": tag}
        honest(if_range=if_range)(handler, page)

    return answer


def _begin(handler: Handler, page: Page, if_range: bool) -> int:
    found = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    condition = handler.headers.get("If-Range")
    fresh = not if_range or condition is None or condition in page.version.values()
    return int(found[1]) if found and page.ranges and fresh else 0
