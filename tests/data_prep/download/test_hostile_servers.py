"""Mirrors that mean it: answers without an end, drops instead of a stream, lies about lengths, redirects astray."""

from __future__ import annotations

import time
from typing import Any

import pytest

from decathlon.data_prep.download import transfer
from decathlon.errors import DecathlonError
from tests.helpers.fetching import PATH, Fetched, known
from tests.helpers.marks import quickly
from tests.helpers.web_server import Fault, Handler, Page, honest

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SHORT: dict[str, Any] = {"timeout": 0.2, "retries": 0}


def drip(begin: bytes, more: bytes, pause: float = 0.0) -> Fault:
    """Send a beginning, then the same again and again until the other side has enough."""

    def answer(handler: Handler, page: Page) -> None:
        handler.wfile.write(begin)
        while not handler.server.closing.wait(pause):
            handler.wfile.write(more)

    return answer


ENDLESS: dict[str, Fault] = {
    "a byte of the body at a time": drip(HEAD + b"Content-Length: 300000\r\n\r\n", b"x", 0.02),
    "a byte of the head at a time": drip(HEAD + b"X: ", b"x", 0.02),
    "a byte of the status at a time": drip(b"HTTP/1.1 2", b"0", 0.02),
    "1xx answers": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "1xx answers, slowly": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.02),
    "headers": drip(HEAD, b"X-More: 1\r\n" * 100),
    "one header": drip(HEAD + b"X: ", b"x" * 1000),
    "chunk extensions": drip(CHUNKED + b"5;", b"x" * 1000),
    "chunk extensions, slowly": drip(CHUNKED + b"5;", b"x", 0.02),
    "chunks of one byte, slowly": drip(CHUNKED, b"1\r\nx\r\n", 0.02),
    "trailers": drip(CHUNKED + b"0\r\n", b"X-More: 1\r\n" * 100),
    "trailers, slowly": drip(CHUNKED + b"1\r\nx\r\n0\r\n", b"X: 1\r\n", 0.02),
    "the body of a redirect": drip(
        b"HTTP/1.1 302 Found\r\nLocation: /nowhere\r\nTransfer-Encoding: chunked\r\n\r\n", b"4\r\nxxxx\r\n" * 999
    ),
    "zeros of no known length": drip(HEAD + b"\r\n", bytes(1 << 16)),
    "zeros in chunks": drip(CHUNKED, b"ffff\r\n" + bytes(0xFFFF) + b"\r\n"),
}  # fmt: skip


@pytest.mark.parametrize(
    "kind", quickly(ENDLESS, "a byte of the body at a time", "1xx answers", "trailers, slowly")
)
def test_what_does_not_end_is_left_for_the_next_mirror(get: Fetched, kind: str) -> None:
    get.page(ENDLESS[kind], path="/bad")
    get.page()
    begun = time.monotonic()
    assert get(known(get.server.url("/bad"), get.server.url(PATH)), **SHORT)
    get.whole()
    assert time.monotonic() - begun < 2
    assert [line for line in get.lines if line.endswith("; trying the next mirror")], get.lines


def test_drops_use_up_the_tries_and_end(get: Fetched) -> None:
    """Each drop is a new byte, but a mirror that needs a year is no mirror."""
    get.page(*[ENDLESS["a byte of the body at a time"]] * 9)
    with pytest.raises(DecathlonError, match="it sends fewer than 1,000 bytes a second"):
        get(timeout=0.2, retries=2)
    assert len(get.waits) == 2


def test_a_cut_after_each_byte_uses_up_the_tries(get: Fetched) -> None:
    get.page(*[honest(cut=1)] * 99)
    with pytest.raises(DecathlonError, match="the connection was cut after 4 of 300,000 bytes"):
        get(retries=3)


def test_a_slow_line_is_slow_but_arrives(get: Fetched) -> None:
    def slowly(handler: Handler, page: Page) -> None:
        handler.head(200, page.version | {"Content-Length": str(len(page.body))})
        for begin in range(0, len(page.body), 20_000):
            handler.wfile.write(page.body[begin : begin + 20_000])
            time.sleep(0.03)

    get.page(slowly)
    assert get(known(get.server.url(PATH)), **SHORT)
    get.whole()


@pytest.mark.parametrize("fault", [drip(HEAD + b"\r\n", bytes(1 << 16)), ENDLESS["zeros in chunks"]])
def test_a_file_of_no_known_length_has_a_limit(
    get: Fetched,
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfer, "UNMEASURED", 10**6)
    get.page(fault)
    with pytest.raises(
        DecathlonError, match="more than 1,000,000 bytes and does not say how many there are"
    ) as end:
        get(known(get.server.url(PATH), size=None), timeout=5, retries=0)
    assert end.value.exit_code == 1 and not get.part.exists()


@pytest.mark.parametrize("length", ["1000000000000000", "299999", "300001"])
def test_a_length_that_nobody_knows_and_that_is_a_lie(get: Fetched, length: str) -> None:
    lie = drip(HEAD + f"Content-Length: {length}\r\n\r\n".encode(), b"x", 0.02) if length == "300001" else None

    def answer(handler: Handler, page: Page) -> None:
        handler.head(200, {"Content-Length": length})
        handler.wfile.write(page.body)

    get.page(lie or answer, path="/bad")
    get.page()
    get(known(get.server.url("/bad"), get.server.url(PATH), size=None), **SHORT)
    get.whole()


@pytest.mark.parametrize(
    "place",
    ["http://127.0.0.1:1/x", "http://127.0.0.1:99999/x", "http://127.0.0.1:x/x", "http://[::1/x", "http://[x]/",
     f"http://{'a' * 64}.example/", "http://a..b/", "http:///x", "http://", "//", "file:///etc/hostname",
     "ftp://127.0.0.1/x", "gopher://x/", "data:,x", "javascript:1", "http://user:pass@127.0.0.1:1/",
     "http://127.0.0.1:{port}/bad", "http://\u212a/", "http://xn--a/", "?" * 9000, "", " ", "\x7f", "http://0/%00",
     "https://127.0.0.1:{port}/x"],
)  # fmt: skip
def test_a_redirect_to_nowhere_is_left_for_the_next_mirror(get: Fetched, place: str) -> None:
    def redirect(handler: Handler, page: Page) -> None:
        told = place.format(port=handler.server.server_port)
        handler.wfile.write(f"HTTP/1.1 302 Found\r\nLocation: {told}\r\n\r\n".encode())

    get.page(*[redirect] * 99, path="/bad")
    get.page()
    get(known(get.server.url("/bad"), get.server.url(PATH)), **SHORT)
    get.whole()
    said = [line for line in get.lines if line.endswith("; trying the next mirror")]
    assert len(said) == 1 and len(said[0]) < 500 and said[0].isprintable()


@pytest.mark.parametrize("tag", ['"a\x00b"', '"\xe9"', '"a\tb"'])
def test_a_version_that_cannot_be_sent_back_is_none(get: Fetched, tag: str) -> None:
    """The next request would be refused by our own side, again and again."""

    def answer(handler: Handler, page: Page) -> None:
        handler.wfile.write(
            HEAD + f"ETag: {tag}\r\nContent-Length: 300000\r\n\r\n".encode("latin-1") + page.body[:1000]
        )

    get.page(answer)
    get()
    get.whole()
    assert get.server.ranges() == [None, None]
