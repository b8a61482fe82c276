"""Domains and benchmarks: names, categories, how images are cropped and normalised.

Facts of the official ten: Rebuffi, Bilen, Vedaldi, "Learning multiple visual domains with residual
adapters", NeurIPS 2017 (https://arxiv.org/abs/1705.08045) and the challenge's released files.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from decathlon.errors import DataError, unknown
from decathlon.system.schema import find_fault, within
from decathlon.system.strict_json import dump_json

CropPolicy = Literal["crop", "squash", "full"]
CROP_POLICIES: tuple[CropPolicy, ...] = get_args(CropPolicy)
MOST_DOMAINS = 1_000
MOST_BYTES = 180  # of a domain's name: files add to it, and a file name has at most 255
MOST_LETTERS = 1_000  # of a category's name, and of a benchmark's
RESERVED = ("trunk", "shared")  # scopes beside the domains
SPLITS = ("train", "val", "test")
MAX_PIXELS = 50_000_000  # of an image: 150 MB decoded
MAX_RATIO = 32  # of its sides: a thinner one becomes huge when its shorter side is enlarged, in packing or training


@dataclass(frozen=True)
class Category:
    """One class of a domain; `id` is the domain's index times 10^7 plus the class's rank from 1."""

    id: int
    name: str

    def __post_init__(self) -> None:
        refuse_long("the category name", self.name)


@dataclass(frozen=True)
class Packing:
    """How image files became the pixels of a packed file, so that serving does the same.

    Shrunk to a shorter side of `side` pixels, with `enlarge` enlarged to it, with `upright` turned by the
    orientation tag, transparent pixels laid on `ground`.
    """

    side: int
    enlarge: bool = False
    upright: bool = False
    ground: Literal["white"] = "white"


@dataclass(frozen=True)
class Domain:
    """One data set of a benchmark.

    `index` is the rank from 1 that image and category ids start with. `categories` are sorted by id; a label is
    a position in them. `mean` and `std` are per RGB channel, in 0..1. `flip` says whether a mirrored image still
    shows the same class. `crop` is the part of an image that a network sees: `crop` a square of it, `squash` all of
    it at another aspect ratio, `full` all of it with bars. `baseline_error` is the error in 0..1 of a fully
    fine-tuned network: twice that error earns zero points. None where it was never measured. `packing` is None
    where nobody recorded it.
    """

    name: str
    index: int
    categories: tuple[Category, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    flip: bool = True
    crop: CropPolicy = "crop"
    baseline_error: float | None = None
    packing: Packing | None = None

    def __post_init__(self) -> None:
        refuse_name(self.name)
        if twice := repeated(self.category_ids):
            raise DataError(
                f"{self.name} has the category id {twice[0]} twice. Give every category an id of its own."
            )

    @property
    def category_ids(self) -> tuple[int, ...]:
        """The category id of every label, in label order."""
        return tuple(category.id for category in self.categories)

    @property
    def digest(self) -> str:
        """The SHA-256 of what a network is trained by: the categories and how an image becomes its input."""
        facts = asdict(self)
        used = {name: facts[name] for name in ("name", "categories", "mean", "std", "flip", "crop")}
        return hashlib.sha256(dump_json(used).encode()).hexdigest()


def repeated(ids: Iterable[Any]) -> list[Any]:
    """Return what stands in `ids` more than once."""
    return [each for each, count in Counter(ids).items() if count > 1]


def refuse_long(what: str, name: str) -> None:
    """Raise DataError for a name that would fill pages."""
    if len(name) > MOST_LETTERS:
        begins = f"{what} that begins with '{name[:20]}' has {len(name):,} characters"
        raise DataError(f"{begins}, the limit is {MOST_LETTERS:,}. Shorten it.")


def refuse_name(name: str) -> None:
    """Raise DataError for a name that no domain may have."""
    if (length := len(name.encode(errors="surrogatepass"))) > MOST_BYTES:
        begins = f"the domain name that begins with '{name[:20]}' has {length:,} bytes"
        raise DataError(f"{begins}, the limit is {MOST_BYTES}, for the names of files. Shorten it.")
    if not re.fullmatch(r"[^\W_][\w .+-]*", name) or name in RESERVED:
        fix = f"continue with letters, digits, spaces and . _ + -, and avoid {' and '.join(RESERVED)}"
        raise DataError(f"'{name}' is not a valid domain name. Start with a letter or digit, {fix}.")


@dataclass(frozen=True)
class Benchmark:
    """A named, ordered set of domains; `baseline` describes how the baseline errors were measured."""

    name: str
    domains: tuple[Domain, ...]
    baseline: str = ""

    def __post_init__(self) -> None:
        refuse_long("the benchmark name", self.name)
        refuse_long("the baseline", self.baseline)
        if len(self.domains) > MOST_DOMAINS:
            raise DataError(
                f"there are {len(self.domains):,} domains, the limit is {MOST_DOMAINS:,}. Leave some out."
            )
        if twice := repeated(self.names):
            raise DataError(f"there are two domains {twice[0]}. Rename one of them.")
        if twice := repeated(each for domain in self.domains for each in domain.category_ids):
            both = " and ".join(domain.name for domain in self.domains if twice[0] in domain.category_ids)
            raise DataError(
                f"the category id {twice[0]} is in both {both}. Number one of them again: ids are unique."
            )

    def __getitem__(self, name: str) -> Domain:
        """Return the domain called `name`; raises UsageError with the nearest existing name."""
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
        """Return plain lists, dictionaries and numbers; `from_json` reads them back."""
        found = asdict(self)
        for domain in found["domains"]:
            if domain["packing"] is None:
                del domain["packing"]
        return found

    def content(self) -> Benchmark:
        """Return the facts that the digest of a packed file covers: all but how its images were packed."""
        return replace(self, domains=tuple(replace(domain, packing=None) for domain in self.domains))

    @classmethod
    def from_json(cls, data: Any, source: str) -> Benchmark:
        """Build a benchmark from parsed JSON; raises DataError naming `source` and the place at fault."""
        fault = find_fault(data, SHAPE) or ("" if data["domains"] else "domains is empty")
        if fault:
            raise DataError(f"{source} does not describe a benchmark ({fault}). Correct it or restore a copy.")
        try:
            return cls(data["name"], tuple(map(_domain, data["domains"])), data.get("baseline", ""))
        except DataError as error:
            raise DataError(f"{source}: {error}") from None


def _domain(facts: Mapping[str, Any]) -> Domain:
    known: dict[str, Any] = {each.name: facts[each.name] for each in fields(Domain) if each.name in facts}
    known["categories"] = tuple(Category(category["id"], category["name"]) for category in facts["categories"])
    known |= {key: tuple(map(float, facts[key])) for key in ("mean", "std")}
    error, packing = facts.get("baseline_error"), facts.get("packing")
    known["baseline_error"] = None if error is None else float(error)
    return Domain(**known | {"packing": None if packing is None else packing_of(packing)})


def packing_of(facts: Mapping[str, Any]) -> Packing:
    """Return how a domain was packed from JSON of the shape PACKING."""
    return Packing(**{each.name: facts[each.name] for each in fields(Packing)})


def _channels(value: Any) -> str | None:
    fits = isinstance(value, list) and len(value) == 3 and not find_fault(value, [within(float, 0, 1)])
    return None if fits else "three numbers from 0 to 1"


def _nonzero_channels(value: Any) -> str | None:
    return None if _channels(value) is None and 0 not in value else "three numbers above 0, at most 1"


PACKING = {"side": within(int, 1, 65_535), "enlarge": bool, "upright": bool, "ground": Literal["white"]}
SHAPE = {
    "name": str,
    "baseline?": str,
    "domains": [
        {
            "name": str,
            "index": within(int, 1, 10**11),  # image ids, index * 10^7 and more, fit 64 bits
            "categories": [{"id": int, "name": str}],
            "mean": _channels,
            "std": _nonzero_channels,
            "flip?": bool,
            "crop?": CropPolicy,
            "baseline_error?": (within(float, 0, 1), None),
            "packing?": (PACKING, None),
        }
    ],
}
