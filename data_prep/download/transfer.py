"""One request for a file: download the missing bytes and append them to the partial file."""

import random
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import OK, HTTPResponse
from urllib.parse import urlsplit

from decathlon.data_prep.download.http_client import GiveUp, OutOfRange, TryAgain, read, request
from decathlon.data_prep.download.mirrors import KnownFile
from decathlon.data_prep.download.partial_file import PartialFile
from decathlon.errors import DecathlonError

_BLOCK = 1 << 18
_PARTIAL = 206
_LONGEST_WAIT = 60.0  # seconds, even if a server asks for more
UNMEASURED = 10**10  # bytes of a file whose length neither the list nor the server tells


@dataclass(frozen=True)
class FetchOptions:
    """How to download: `retries` per mirror without progress, `timeout` in seconds for each piece.

    Fewer than `slowest` bytes a second, over as long, are no progress. `say` gets lines for the user, `progress`
    the activity, the bytes so far and in total (None: unknown); `pause` sleeps for seconds.
    """

    retries: int = 4
    timeout: float = 30.0
    slowest: int = 1000
    force: bool = False
    say: Callable[[str], None] = lambda line: None
    progress: Callable[[str, int, int | None], None] = lambda what, done, total: None
    pause: Callable[[float], None] = time.sleep

    @property
    def least(self) -> float:
        """The bytes that have to arrive within `timeout`."""
        return self.slowest * self.timeout

    def wait(self, failed: int, retry_after: float | None) -> float:
        """Return the seconds before the next try: the server's Retry-After, else 1, 2, 4, … by failures."""
        if retry_after is not None:
            return min(retry_after, _LONGEST_WAIT)
        jitter = random.uniform(0.5, 1.5)  # so that many clients do not return at once; affects no result
        return min(2.0 ** min(failed - 1, 10) * jitter, _LONGEST_WAIT)


def download(file: KnownFile, url: str, part: PartialFile, options: FetchOptions) -> None:
    """Append the missing bytes of `file` from `url` to its partial file.

    Raises TryAgain if the connection broke, GiveUp if this mirror does not have the file, DecathlonError if the
    disk is too small, OSError if it cannot be written.
    """
    if file.size is not None and part.size > file.size:
        part.discard()
    if part.size and part.size == file.size:
        return
    version = part.version(url)
    offset = part.size if version else 0
    headers = {"Range": f"bytes={offset}-", "If-Range": version} if offset else {}
    try:
        with request(url, headers, options.timeout) as response:
            total = _total(response, offset)
            resumed = response.status == _PARTIAL
            if resumed and _version(response) not in ("", version):
                part.discard()
                raise TryAgain("the file changed on the server since the download began", wait=0)
            if total is not None:
                _check_offer(file, part, total)
            if offset and not resumed:
                options.say(f"{host(url)} cannot resume after {offset / 1e6:,.1f} MB; starting over")
            if not resumed:
                part.begin(url, _version(response))
            _receive(response, part, total or file.size, options)
    except OutOfRange:
        if file.size is None and part.size:  # complete, as far as anybody knows
            return
        part.discard()
        raise TryAgain("it has no bytes after those received", wait=0) from None


def _check_offer(file: KnownFile, part: PartialFile, total: int) -> None:
    """Check the length that a server claims, and the room for it; what only it claims is the mirror's fault."""
    if file.size not in (None, total):
        raise GiveUp(f"it offers {total:,} bytes, the file has {file.size:,}", wrong=True)
    try:
        check_room(part, total)
    except DecathlonError as error:
        if file.size is not None:
            raise
        raise GiveUp(str(error).rstrip(".")) from None


def check_room(part: PartialFile, total: int) -> None:
    """Raise DecathlonError if the disk has no room for the missing bytes of a file of `total` bytes."""
    free, missing = shutil.disk_usage(part.target.parent).free, total - part.size
    if missing > free:
        raise DecathlonError(
            f"{part.target.name} needs {missing / 1e6:,.1f} MB more and {part.target.parent} has "
            f"{free / 1e6:,.1f} MB. Free some space or choose another folder with -o."
        )


def host(url: str) -> str:
    """Return a URL's host, with the port if it has one."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _receive(response: HTTPResponse, part: PartialFile, total: int | None, options: FetchOptions) -> None:
    done = part.size
    limit = min(UNMEASURED, shutil.disk_usage(part.path.parent).free + done) if total is None else total
    since, before = time.monotonic(), done
    with part.path.open("ab") as out:
        while block := read(response, _BLOCK):
            done += len(block)
            if done > limit:
                break
            out.write(block)
            options.progress("fetching", done, total)
            over = time.monotonic() - since > options.timeout
            if over and done - before < options.least:
                raise TryAgain(f"it sends fewer than {options.slowest:,} bytes a second")
            if over:
                since, before = time.monotonic(), done
    if done > limit:
        part.discard()
        if total is None:
            raise GiveUp(f"it sends more than {limit:,} bytes and does not say how many there are")
        raise GiveUp(f"it sends more than the {limit:,} bytes the file has", wrong=True)
    if total is not None and done < total:
        raise TryAgain(f"the connection was cut after {done:,} of {total:,} bytes")


def _total(response: HTTPResponse, offset: int) -> int | None:
    """Return the file's size by the response headers, None without one; raises GiveUp on nonsense."""
    if response.status == _PARTIAL:
        sent = response.headers.get("Content-Range", "").strip()
        found = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", sent)
        if not found or int(found[1]) != offset:
            raise GiveUp("it sends another range than requested")
        return None if found[2] == "*" else int(found[2])
    if response.status != OK:
        raise GiveUp(f"it returns {response.status} {response.reason}")
    return response.length


def _version(response: HTTPResponse) -> str:
    """Return the value for If-Range (RFC 9110, 13.1.5): the strong ETag, else Last-Modified, else ""."""
    tag, date = (str(response.headers.get(name, "")).strip() for name in ("ETag", "Last-Modified"))
    version = tag if tag.startswith('"') else date
    return version if version.isascii() and version.isprintable() else ""  # others cannot be sent back
