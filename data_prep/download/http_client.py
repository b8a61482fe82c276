"""HTTP without surprises: http and https only, and one reason for every way a request can fail."""

import contextlib
import http.client
import re
import socket
import ssl
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


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener for http and https only: build_opener's would also read file: and ftp:."""
    opener = urllib.request.OpenerDirector()
    opener.addheaders = [("User-Agent", f"visual-decathlon/{__version__}")]
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


@contextlib.contextmanager
def request(url: str, headers: Mapping[str, str], timeout: float) -> Iterator[http.client.HTTPResponse]:
    """Yield the response to a GET; `timeout` in seconds without a byte. Raises TryAgain, GiveUp or OutOfRange."""
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
