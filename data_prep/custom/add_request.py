"""What a user wants of a domain to add."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from decathlon.data.domains import CropPolicy, refuse_name
from decathlon.data.official import OFFICIAL
from decathlon.errors import UsageError


@dataclass(frozen=True)
class Addition:
    """A domain to add: its name, the data set's path, and what the user wants of it.

    `split` is percent as `60/15/25`, None for the splits of the data set or the default. `group` is a pattern on
    image names whose first group, or whole match, names what must stay in one split. `truth` is where the labels of
    test images go, None for a folder beside the file. Raises UsageError for what cannot be asked.
    """

    name: str
    source: Path
    split: str | None = None
    seed: int = 0
    group: str | None = None
    flip: bool = True
    crop: CropPolicy = "crop"
    truth: Path | None = None
    skip_broken: bool = False
    drop_duplicates: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", Path(self.source))
        object.__setattr__(self, "truth", None if self.truth is None else Path(self.truth))
        refuse_name(self.name)
        if self.name == "benchmark":  # the facts' place in the file
            raise UsageError("a domain cannot be called 'benchmark': choose another name.")
        if self.name in OFFICIAL:
            raise UsageError(
                f"{self.name} is one of the official ten: use 'decathlon data build {self.name} --from PATH "
                "-o FILE.h5', or choose another name."
            )
        _ = self.parts
        try:
            re.compile(self.group or "")
        except re.error as error:
            raise UsageError(f"--group {self.group} is no regular expression ({error}): correct it.") from None

    @property
    def parts(self) -> Parts:
        """Percent by split."""
        return read_parts(DEFAULT if self.split is None else self.split)


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
