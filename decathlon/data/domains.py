"""What a domain and a benchmark are: names, categories, how images are cut and normalised.

Facts of the official ten: Rebuffi, Bilen, Vedaldi, "Learning multiple visual domains with residual
adapters", NeurIPS 2017 (https://arxiv.org/abs/1705.08045) and the challenge's released files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from decathlon.errors import DataError, unknown
from decathlon.system.text import shown

CropPolicy = Literal["crop", "squash", "full"]
CROP_POLICIES: tuple[CropPolicy, ...] = get_args(CropPolicy)
RESERVED = ("trunk", "shared")  # scopes beside the domains
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Category:
    """One class of a domain; `id` is the domain's index times 10^7 plus the class's rank from 1."""

    id: int
    name: str


@dataclass(frozen=True)
class Domain:
    """One data set of a benchmark.

    `index` is the rank from 1 that image and category ids start with. `categories` are sorted by id; a label is
    a position in them. `mean` and `std` are per RGB channel, in 0..1. `flip` says whether a mirrored image still
    shows the same class. `crop` says what of an image a network sees: `crop` a square of it, `squash` all of it
    at another aspect ratio, `full` all of it with bars. `baseline_error` is the error in 0..1 of a fully
    fine-tuned network, whose double earns zero points; None where nobody measured it.
    """

    name: str
    index: int
    categories: tuple[Category, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    flip: bool = True
    crop: CropPolicy = "crop"
    baseline_error: float | None = None

    def __post_init__(self) -> None:
        refuse_name(self.name)

    @property
    def category_ids(self) -> tuple[int, ...]:
        """The category id of every label, in label order."""
        return tuple(category.id for category in self.categories)


def refuse_name(name: str) -> None:
    """Raise DataError when a domain cannot be called so."""
    if not re.fullmatch(r"[^\W_][\w .+-]*", name) or name in RESERVED:
        raise DataError(
            f"'{name}' cannot name a domain: begin with a letter or digit, go on with letters, digits, spaces and "
            f". _ + -, and avoid {' and '.join(RESERVED)}."
        )


@dataclass(frozen=True)
class Benchmark:
    """A named, ordered set of domains; `baseline` says how the baseline errors were measured."""

    name: str
    domains: tuple[Domain, ...]
    baseline: str = ""

    def __getitem__(self, name: str) -> Domain:
        """Return the domain called `name`; raises UsageError with the nearest name there is."""
        for domain in self.domains:
            if domain.name == name:
                return domain
        raise unknown("domain", name, self.names)

    def __iter__(self) -> Iterator[Domain]:
        return iter(self.domains)

    @property
    def names(self) -> tuple[str, ...]:
        """The domains' names in order."""
        return tuple(domain.name for domain in self.domains)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, dictionaries and numbers; `from_json` is the way back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any, source: str) -> Benchmark:
        """Build a benchmark from parsed JSON; raises DataError naming `source` and the entry at fault."""
        try:
            domains = tuple(_domain(entry) for entry in data["domains"])
            benchmark = cls(_text(data["name"]), domains, _text(data.get("baseline", "")))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"missing {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{source} does not describe a benchmark: {reason}.") from None
        if len(set(benchmark.names)) != len(benchmark.names):
            raise DataError(f"{source} names a domain twice: rename one of {', '.join(benchmark.names)}.")
        return benchmark


def _domain(entry: Mapping[str, Any]) -> Domain:
    crop, error = entry.get("crop", "crop"), entry.get("baseline_error")
    if crop not in CROP_POLICIES:
        raise ValueError(f"crop {shown(crop)} is none of {', '.join(CROP_POLICIES)}")
    index, flip, mean, std = _whole(entry["index"]), entry.get("flip", True), entry["mean"], entry["std"]
    if index < 1:
        raise ValueError(f"index {shown(index)} is no whole number from 1")
    if type(flip) is not bool:
        raise ValueError(f"flip {shown(flip)} is neither true nor false")
    if not all(isinstance(values, list | tuple) and len(values) == 3 for values in (mean, std)) or 0 in std:
        raise ValueError("mean and std must be three numbers each, those of std above 0")
    return Domain(
        name=_text(entry["name"]),
        index=index,
        categories=tuple(Category(_whole(c["id"]), _text(c["name"])) for c in entry["categories"]),
        mean=_channels(mean),
        std=_channels(std),
        flip=flip,
        crop=crop,
        baseline_error=None if error is None else _number(error),
    )


def _channels(values: Any) -> tuple[float, float, float]:
    red, green, blue = (_number(value) for value in values)
    return red, green, blue


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or abs(value) >= 2**63:  # true and 2.5 are none either
        raise ValueError(f"{shown(value)} is no whole number")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:  # false for nan too
        raise ValueError(f"{shown(value)} is no number from 0 to 1")
    return float(value)
