"""HTTP without surprises: http and https only, and one reason for every way a request can fail."""

import contextlib
import http.client
import io
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, Any
from urllib.parse import urlsplit

from decathlon import __version__

_PASSING = (408, 425, 429, 500, 502, 503, 504)  # status codes worth another try
_NO_RANGE = 416


class TryAgain(Exception):
    """A request failed in a way that may pass; `wait` is the server's Retry-After in seconds, None without one."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class GiveUp(Exception):
    """A mirror does not have the file; `wrong` if it serves another one under that name."""

    def __init__(self, reason: str, wrong: bool = False) -> None:
        super().__init__(reason)
        self.wrong = wrong


class OutOfRange(Exception):
    """The server has no bytes in the requested range."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never from https to anything less."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request for the new URL; raises GiveUp if the connection would no longer be safe."""
        if not newurl.isascii() or not newurl.isprintable():
            raise GiveUp("it redirects to an invalid URL")
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise GiveUp(f"it redirects from https to {newurl:.200}, which is refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any) -> Any:
        """Follow a redirect without its body, which urllib would read to its end, into memory."""
        fp.close()
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _Timed(io.RawIOBase):
    """The bytes of a socket, all of which have to arrive before a deadline, however slowly they drip."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__()
        self._raw, self._sock, self._seconds = raw, sock, sock.gettimeout() or 0.0
        self.restart()

    def restart(self) -> None:
        """Move the deadline to the whole timeout from now."""
        self._until = time.monotonic() + self._seconds

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what there is; raises TimeoutError at the deadline."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Close the socket's file."""
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response of which the head, with all that may stand before it, and each piece are in time or an error.

    http.client waits for the next byte alone: for ever, where 1xx answers or trailers do not end.
    """

    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self._timed = _Timed(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._timed)

    def read1(self, n: int = -1) -> bytes:
        """Return up to `n` bytes as soon as some arrive."""
        self._timed.restart()
        return super().read1(n)


class _InTime(urllib.request.AbstractHTTPHandler):
    """Opens connections whose responses have deadlines."""

    def do_open(self, http_class: Any, req: urllib.request.Request, **more: Any) -> http.client.HTTPResponse:
        """Return the response to a request."""

        def connection(*args: Any, **options: Any) -> http.client.HTTPConnection:
            made: http.client.HTTPConnection = http_class(*args, **options)
            made.response_class = _Response
            return made

        return super().do_open(connection, req, **more)


class _Http(_InTime, urllib.request.HTTPHandler):
    """Opens http."""


class _Https(_InTime, urllib.request.HTTPSHandler):
    """Opens https."""


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener for http and https only: build_opener's would also read file: and ftp:."""
    opener = urllib.request.OpenerDirector()
    opener.addheaders = [("User-Agent", f"visual-decathlon/{__version__}")]
    for handler in (
        urllib.request.ProxyHandler(),
        _Http(),
        _Https(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


@contextlib.contextmanager
def request(url: str, headers: Mapping[str, str], timeout: float) -> Iterator[http.client.HTTPResponse]:
    """Yield the response to a GET; raises TryAgain, GiveUp or OutOfRange.

    `timeout` are the seconds for its head, and then for each piece that is read.
    """
    with _translated():
        response = _opener().open(urllib.request.Request(url, headers=dict(headers)), timeout=timeout)
    with response:
        yield response


def read(response: http.client.HTTPResponse, size: int) -> bytes:
    """Return up to `size` bytes of a response as soon as some arrive, none at its end; raises TryAgain."""
    with _translated():
        return response.read1(size)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise _refusal(error) from None
    except http.client.InvalidURL as error:
        raise GiveUp(f"it is not a valid URL ({error})") from None
    except (ValueError, OverflowError) as error:  # from a redirect: urllib takes it apart only now
        raise GiveUp(f"it leads to an invalid URL ({_line(error)})") from None
    except http.client.HTTPException as error:
        raise TryAgain(f"the connection broke ({type(error).__name__})") from None
    except OSError as error:  # URLError is one, and a timeout
        raise _unreachable(error) from None


def _refusal(error: urllib.error.HTTPError) -> Exception:
    if error.code == _NO_RANGE:
        return OutOfRange()
    if 300 <= error.code < 400:  # only loops and non-http URLs get here
        return GiveUp(f"its redirect is refused ({_line(error.reason)})")
    reason = f"it returns {error.code} {_line(error.reason)}".rstrip()
    if error.code in _PASSING:
        return TryAgain(reason, _retry_after(error.headers.get("Retry-After")))
    return GiveUp(reason)


def _unreachable(error: OSError) -> Exception:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return TryAgain("no data arrived for too long")
    if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
        return GiveUp("the host does not exist")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return GiveUp(f"its certificate is not valid ({_line(cause.verify_message)})")
    if not isinstance(cause, OSError):  # an unsupported scheme
        return GiveUp(_line(cause))
    return TryAgain(_line(cause.strerror or cause))


def _retry_after(text: str | None) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date; None if missing or unreadable."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        return max(0.0, (until.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _line(text: object) -> str:
    """Return a server's text as one short line without control characters."""
    return re.sub(r"\s+|[^ -~]", " ", str(text)).strip()[:200]
