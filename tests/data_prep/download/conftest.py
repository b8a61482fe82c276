"""What the tests of downloads share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import web_server as web
from tests.helpers.fetching import Fetched


@pytest.fixture
def get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fetched]:
    monkeypatch.setenv("no_proxy", "*")
    with web.serving() as server:
        yield Fetched(server, tmp_path / "files")
