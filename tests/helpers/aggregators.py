"""Weightings that need optional packages."""

import pytest

from decathlon.training.weighting import WEIGHTINGS


def need(name: str, domains: int = 3) -> None:
    """Skip the test where a weighting's packages are not installed."""
    weighting = WEIGHTINGS.find(name)
    if not hasattr(weighting, "kind"):
        return
    aggregation = pytest.importorskip("torchjd.aggregation")
    options = {"n_tasks": domains} if name == "nash-mtl" else getattr(weighting, "options", {})
    try:
        getattr(aggregation, weighting.kind)(**options)
    except ImportError as error:
        pytest.skip(str(error))
