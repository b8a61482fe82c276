"""Numbers with the right noun."""

from __future__ import annotations


def several(number: int, noun: str, plural: str = "") -> str:
    """Return a number and what it counts, as `1 epoch` and `3 epochs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"
