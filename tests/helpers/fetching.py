"""A file to fetch, and what came of it."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from decathlon.data_prep.download.fetch import fetch
from decathlon.data_prep.download.mirrors import KnownFile
from decathlon.data_prep.download.transfer import FetchOptions
from tests.helpers import web_server as web
from tests.helpers.web_server import Page, Server

BODY = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
PATH = "/a.bin"


def known(*urls: str, body: bytes = BODY, size: int | None = len(BODY)) -> KnownFile:
    return KnownFile("a.bin", "sha256", hashlib.sha256(body).hexdigest(), size, urls, "dtd")


@dataclass
class Fetched:
    """A folder to fetch into, what was said, and the seconds that would have been waited."""

    server: Server
    folder: Path
    lines: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def how(self, **changed: object) -> FetchOptions:
        return replace(FetchOptions(say=self.lines.append, pause=self.waits.append, timeout=5), **changed)  # type: ignore[arg-type]

    def __call__(self, file: KnownFile | None = None, **how: object) -> bool:
        return fetch(file or known(self.server.url(PATH)), self.folder, self.how(**how))

    def page(self, *faults: web.Fault, body: bytes = BODY, path: str = PATH, ranges: bool = True) -> Page:
        page = self.server.pages[path] = Page(body, ranges=ranges, faults=list(faults))
        return page

    def whole(self) -> None:
        """Nothing but the right file stands in the folder."""
        assert [path.name for path in self.folder.iterdir()] == ["a.bin"]
        assert (self.folder / "a.bin").read_bytes() == BODY

    @property
    def part(self) -> Path:
        return self.folder / ".a.bin.part"
