"""A tiny source and a place for its packed file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.challenge_sources import write_source


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of two tiny domains."""
    return write_source(tmp_path / "tiny")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Where the packed file goes: a folder of its own, to see what else is left there."""
    return tmp_path / "out" / "tiny.h5"
