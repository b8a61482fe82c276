"""The request to add a domain, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from decathlon.data.domains import CropPolicy, refuse_name
from decathlon.data.official import OFFICIAL
from decathlon.errors import UsageError


@dataclass(frozen=True)
class AddRequest:
    """A domain to add: its name, the path of the data set, and options.

    `split` is percent such as `60/15/25`, None for the splits of the data set or the default. `group` is a pattern
    on image names; images with the same first group, or whole match, stay in one split. `truth` is the folder for
    the test labels, None for one beside the file. Raises UsageError for an impossible request.
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
        if self.name == "benchmark":  # the name of the facts in the file
            raise UsageError("a domain cannot be named 'benchmark'. Choose another name.")
        if self.name in OFFICIAL:
            raise UsageError(
                f"{self.name} is one of the official ten. Choose another name, or run: "
                f"decathlon data build {self.name} --from PATH -o FILE.h5"
            )
        _ = self.parts
        try:
            re.compile(self.group or "")
        except re.error as error:
            raise UsageError(f"--group {self.group} is not a regular expression ({error}). Correct it.") from None

    @property
    def parts(self) -> Parts:
        """Percent by split."""
        return read_parts(DEFAULT if self.split is None else self.split)


Parts = Mapping[str, int]  # percent by split, none of them 0
DEFAULT = "60/15/25"


def read_parts(text: str) -> Parts:
    """Read `60/15/25`, percent of train, val and test, or `80/20` without a test split.

    Raises UsageError for anything else.
    """
    numbers = text.split("/")
    if len(numbers) not in (2, 3) or not all(re.fullmatch("[0-9]{1,3}", number) for number in numbers):
        raise UsageError(
            f"--split {text} is not a split. Write whole percent as train/val/test, like {DEFAULT}, or train/val."
        )
    values = [int(number) for number in numbers]
    if sum(values) != 100:
        raise UsageError(f"--split {text} adds up to {sum(values)} percent. It must be 100.")
    if not values[0]:
        raise UsageError(f"--split {text} has no train images. Give train a part.")
    return {name: value for name, value in zip(("train", "val", "test"), values, strict=False) if value}
