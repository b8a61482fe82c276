"""One request for a file: the bytes that are still missing, added to its part."""

from __future__ import annotations

import http.client
import random
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from decathlon.data_prep.download.http_client import GiveUp, OutOfRange, TryAgain, read, request
from decathlon.data_prep.download.mirrors import KnownFile
from decathlon.data_prep.download.partial_file import Part
from decathlon.errors import DecathlonError

_BLOCK = 1 << 18
_PARTIAL = 206
_LONGEST_WAIT = 60.0  # seconds, whatever a server asks for


@dataclass(frozen=True)
class Fetching:
    """How to fetch: `retries` of a mirror without one new byte, `timeout` in seconds without a byte.

    `say` gets lines for the user, `progress` what is done, the bytes so far and in all (None: unknown); `pause`
    sleeps for seconds.
    """

    retries: int = 4
    timeout: float = 30.0
    force: bool = False
    say: Callable[[str], None] = lambda line: None
    progress: Callable[[str, int, int | None], None] = lambda what, done, total: None
    pause: Callable[[float], None] = time.sleep

    def wait(self, failed: int, wished: float | None) -> float:
        """Return the seconds before the next try: what the server wishes, else 1, 2, 4, … by the failures."""
        if wished is not None:
            return min(wished, _LONGEST_WAIT)
        mean_std = random.uniform(0.5, 1.5)  # so that many clients do not come back at once; decides no result
        return min(2.0 ** min(failed - 1, 10) * mean_std, _LONGEST_WAIT)


def download(file: KnownFile, url: str, part: Part, how: Fetching) -> None:
    """Add what is missing of `file` from `url` to its part.

    Raises TryAgain when the connection broke, GiveUp when this mirror does not have the file, DecathlonError when
    the disk is too small, OSError when it cannot be written.
    """
    if file.size is not None and part.size > file.size:
        part.discard()
    if part.size and part.size == file.size:
        return
    version = part.version(url)
    offset = part.size if version else 0
    headers = {"Range": f"bytes={offset}-", "If-Range": version} if offset else {}
    try:
        with request(url, headers, how.timeout) as response:
            total = _total(response, offset)
            if response.status == _PARTIAL:
                _check_same(response, part, version)
            _check_total(total, file, part)
            if response.status != _PARTIAL and offset:
                how.say(f"{host(url)} does not go on after {offset / 1e6:,.1f} MB: from the beginning again")
            if response.status != _PARTIAL:
                part.begin(url, _version(response))
            _receive(response, part, total or file.size, how)
    except OutOfRange:
        _beyond(file, part)


def check_room(part: Part, total: int) -> None:
    """Raise DecathlonError when the disk has no room for the missing bytes of a file of `total` bytes."""
    free, missing = shutil.disk_usage(part.target.parent).free, total - part.size
    if missing > free:
        raise DecathlonError(
            f"{part.target.name} needs {missing / 1e6:,.1f} MB more and {part.target.parent} has "
            f"{free / 1e6:,.1f} MB: free some space or choose another folder with -o."
        )


def host(url: str) -> str:
    """Return a URL's host, and its port where one is written."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _receive(response: http.client.HTTPResponse, part: Part, total: int | None, how: Fetching) -> None:
    done = part.size
    limit = shutil.disk_usage(part.path.parent).free + done if total is None else total
    with part.path.open("ab") as out:
        while block := read(response, _BLOCK):
            done += len(block)
            if done > limit:
                break
            out.write(block)
            how.progress("fetching", done, total)
    if done > limit:
        part.discard()
        raise GiveUp(f"it sends more than the {limit:,} bytes the file has", wrong=True)
    if total is not None and done < total:
        raise TryAgain(f"the connection was cut after {done:,} of {total:,} bytes")


def _total(response: http.client.HTTPResponse, offset: int) -> int | None:
    """Return the file's size as the server tells it, None where it does not; raises GiveUp on nonsense."""
    if response.status == _PARTIAL:
        found = re.fullmatch(
            r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", response.headers.get("Content-Range", "").strip()
        )
        if not found or int(found[1]) != offset:
            raise GiveUp("it sends another range than was asked for")
        return None if found[3] == "*" else int(found[3])
    if response.status != http.client.OK:
        raise GiveUp(f"it answers {response.status} {response.reason}")
    return response.length


def _check_same(response: http.client.HTTPResponse, part: Part, version: str) -> None:
    """Raise TryAgain, from the beginning, when the server goes on with another version than the part's."""
    told = _version(response)
    if told and told != version:
        part.discard()
        raise TryAgain("the file changed there since the download began", wait=0)


def _check_total(total: int | None, file: KnownFile, part: Part) -> None:
    if total is None:
        return
    if file.size is not None and total != file.size:
        raise GiveUp(f"it offers {total:,} bytes, the file has {file.size:,}", wrong=True)
    check_room(part, total)


def _version(response: http.client.HTTPResponse) -> str:
    """Return the strong ETag, else the date of last change, else "": what If-Range compares (RFC 9110, 13.1.5)."""
    tag = str(response.headers.get("ETag", "")).strip()
    return tag if tag.startswith('"') else str(response.headers.get("Last-Modified", "")).strip()


def _beyond(file: KnownFile, part: Part) -> None:
    """A part that the server has no further bytes for is whole, if nobody knows the size, or of no use."""
    if file.size is None and part.size:
        return
    part.discard()
    raise TryAgain("it has no bytes after those that came", wait=0)
