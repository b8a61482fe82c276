"""Marks of tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow(*values: Any) -> Any:
    """Return a set of a test's parameters that only `make test-slow` runs."""
    return pytest.param(*values, marks=pytest.mark.slow)


def quickly(values: Iterable[Any], *quick: Any) -> list[Any]:
    """Return a test's parameters of which `make test` runs only `quick`, and `make test-slow` the others."""
    return [
        value if value in quick else slow(*(value if isinstance(value, tuple) else (value,))) for value in values
    ]
