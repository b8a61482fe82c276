"""Marks of tests."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*values: Any) -> Any:
    """Return a set of a test's parameters that only `make test-slow` runs."""
    return pytest.param(*values, marks=pytest.mark.slow)
