"""The record of a run, run.json: everything that was requested, resolved, and how far training has come.

It is read and checked once, here, and handed on as a `RunRecord`; nothing else looks at the keys of the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from decathlon.config.recipe import Recipe
from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.system.checksums import RESTORE, combine, read_sealed, write_sealed
from decathlon.system.files import sha256
from decathlon.system.schema import check, digest, find_fault, name, path, within
from decathlon.system.strict_json import dump_json

if TYPE_CHECKING:
    from decathlon.models.method import Regime

RECORD = "run.json"
Fit = Literal["train", "train+val"]
Status = Literal["running", "done", "diverged"]
SHAPE = {
    "format": Literal[1],
    "status": Literal["running", "done", "diverged"],
    "method": str,
    "label": str,
    "options": {str: (bool, int, float, str)},
    "regime": Literal["frozen", "joint", "private"],
    "trunk": {"name": str, "source": str, "trained": str},
    "recipe": dict,
    "fit": Literal["train", "train+val"],
    "seed": int,
    "starts_from_own_norms": [name],
    "domains": [{"name": name, "categories": [int], "images": within(int, 1, 10**12), "digests?": {str: digest}}],
    "benchmark": str,
    "data": {"path": path, "digest": str},
    "device": str,
    "bf16": bool,
    "threads": within(int, 1, 4096),
    "versions": {str: str},
    "start": str,
    "begun": str,
    "changes?": [{"name": str, "before": object, "now": object, "after_lines": within(int, 0, 10**12)}],
    "files?": {str: str},
}


@dataclass(frozen=True)
class RecordedTrunk:
    """The trunk's name, the run it came from and how that run trained it ("" for a new trunk)."""

    name: str
    source: str = ""
    trained: str = ""


@dataclass(frozen=True)
class RecordedDomain:
    """A domain of the run: its category ids in the order of the logits, and how many images it trains on.

    `digests` holds those of the domain's splits in the packed file, by their names, and as `facts` that of its
    facts; earlier releases kept none.
    """

    name: str
    categories: tuple[int, ...]
    images: int
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RecordedData:
    """The packed file and its digest."""

    path: Path
    digest: str


@dataclass(frozen=True)
class RecordedChange:
    """A value that a resumed run was given on purpose, after `after_lines` lines of metrics."""

    name: str
    before: object
    now: object
    after_lines: int


@dataclass(frozen=True)
class RunRecord:
    """Everything run.json says.

    `label` is the method's name with the options that differ from its defaults. Domains in `starts_from_own_norms`
    began from norms that an earlier run left for them. `start` is the SHA-256 of start.safetensors. `begun` is the
    SHA-256 of the record as it was before any change: checkpoints carry it. `files` holds the SHA-256 of the files
    of a finished run by their path in its folder.
    """

    method: str
    label: str
    options: Mapping[str, bool | int | float | str]
    regime: Regime
    trunk: RecordedTrunk
    recipe: Recipe
    fit: Fit
    seed: int
    starts_from_own_norms: tuple[str, ...]
    domains: tuple[RecordedDomain, ...]
    benchmark: str
    data: RecordedData
    device: str
    bf16: bool
    threads: int
    versions: Mapping[str, str]
    status: Status = "running"
    start: str = ""
    begun: str = ""
    changes: tuple[RecordedChange, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the domains, in the order of the run."""
        return tuple(domain.name for domain in self.domains)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits the run trains on."""
        return tuple(self.fit.split("+"))

    @property
    def weights(self) -> str:
        """The SHA-256 over all weights of a finished run; "" where the record lists none."""
        listed = {file: digest for file, digest in self.files.items() if file.endswith(".safetensors")}
        return combine(listed) if listed else ""

    def to_json(self) -> dict[str, Any]:
        """Return the record as it is written, keys in order; what does not exist yet is left out."""
        data: dict[str, Any] = {"format": 1, "status": self.status} | asdict(self)
        data["recipe"] = self.recipe.to_json()
        data["data"] = {"path": str(self.data.path), "digest": self.data.digest}
        data["starts_from_own_norms"] = list(self.starts_from_own_norms)
        data["domains"] = [asdict(d) | {"categories": list(d.categories)} for d in self.domains]
        data["changes"] = [asdict(change) for change in self.changes]
        optional = ("start", "begun", "changes", "files")
        return {key: value for key, value in data.items() if value or key not in optional}

    def check(self) -> None:
        """Raise UsageError for a record that could be written and never read again."""
        fault = find_fault(replace(self, start="-", begun="-").to_json(), SHAPE)
        if fault:
            raise UsageError(f"this run cannot be recorded ({fault}). Choose another value.")

    def beginning(self, start: str) -> RunRecord:
        """Return the record of a run that begins now; `start` is the SHA-256 of what it starts from."""
        started = replace(self, start=start)
        digest = hashlib.sha256(b"begun" + dump_json(started.to_json()).encode())
        return replace(started, begun=digest.hexdigest())

    def write(self, folder: Path) -> None:
        """Write run.json in the folder of the run, with its checksum."""
        write_sealed(folder / RECORD, self.to_json())

    def check_file(self, folder: Path, file: str, digest: str = "") -> None:
        """Raise VerificationError where a file of the run, of SHA-256 `digest`, is not the one the record lists."""
        listed = self.files.get(file)
        if listed is not None and (digest or sha256(folder / file)) != listed:
            raise VerificationError(f"{folder / file} is not the file that {RECORD} lists. {RESTORE}.")


def read_record(file: Path) -> RunRecord:
    """Return what a run.json says; raises DataError, or VerificationError for one that was damaged."""
    data = read_sealed(file, RESTORE)
    check(data, SHAPE, str(file), RESTORE)
    _refuse_duplicates(data, file)
    for unsafe in unsafe_names(data.get("files", ())):
        raise DataError(f"{file} is damaged: {unsafe!r} cannot be a file of a run. {RESTORE}.")
    try:
        recipe = Recipe().override(data["recipe"], "recipe")
    except UsageError as error:
        raise DataError(f"{file} is damaged or from another release: {error}") from None
    values = {key: value for key, value in data.items() if key in RunRecord.__dataclass_fields__}
    return RunRecord(**values | {
        "recipe": recipe,
        "trunk": RecordedTrunk(**_known(data["trunk"], RecordedTrunk)),
        "data": RecordedData(Path(data["data"]["path"]), data["data"]["digest"]),
        "starts_from_own_norms": tuple(data["starts_from_own_norms"]),
        "domains": tuple(
            RecordedDomain(d["name"], tuple(d["categories"]), d["images"], d.get("digests", {}))
            for d in data["domains"]
        ),
        "changes": tuple(RecordedChange(**_known(c, RecordedChange)) for c in data.get("changes", ())),
    })  # fmt: skip


def unsafe_names(names: Iterable[str]) -> list[str]:
    """Return those paths among a run's files that could lead out of its folder."""
    return [text for text in names if any(name(part) for part in text.split("/"))]


def find_record(folder: Path) -> RunRecord | None:
    """Return the record of the run in a folder, None where there is no run."""
    file = folder / RECORD
    return read_record(file) if file.exists() else None


def read_status(folder: Path) -> Status | None:
    """Return how far the run in a folder says it came, None where there is no run."""
    record = find_record(folder)
    return record.status if record else None


def _known(data: Mapping[str, Any], kind: type[RecordedTrunk] | type[RecordedChange]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key in kind.__dataclass_fields__}


def _refuse_duplicates(data: Mapping[str, Any], file: Path) -> None:
    """Raise DataError for an empty list of domains or categories, or one with duplicates."""
    lists = {"domains": [entry["name"] for entry in data["domains"]]}
    lists |= {f"categories of {entry['name']}": entry["categories"] for entry in data["domains"]}
    for what, entries in lists.items():
        if not entries or len(set(entries)) < len(entries):
            raise DataError(f"{file} is damaged: {what} is empty or has duplicates. {RESTORE}.")
