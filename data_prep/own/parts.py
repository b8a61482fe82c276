"""How much of a data set goes into train, val and test."""

from __future__ import annotations

import re
from collections.abc import Mapping

from decathlon.errors import UsageError

Parts = Mapping[str, int]  # percent by split, none of them zero
DEFAULT = "60/15/25"


def read_parts(text: str) -> Parts:
    """Read `60/15/25`, percent of train, val and test, or `80/20` without a test split.

    Raises UsageError for anything else.
    """
    numbers = text.split("/")
    if len(numbers) not in (2, 3) or not all(re.fullmatch("[0-9]{1,3}", number) for number in numbers):
        raise UsageError(f"--split {text}: write whole percent as train/val/test, like {DEFAULT}, or as train/val.")
    values = [int(number) for number in numbers]
    if sum(values) != 100:
        raise UsageError(f"--split {text} is {sum(values)} percent in all: it must be 100.")
    if not values[0]:
        raise UsageError(f"--split {text} has no train images: give train a part.")
    return {name: value for name, value in zip(("train", "val", "test"), values, strict=False) if value}
