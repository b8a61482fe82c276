"""What a resume request asks for that the run was not begun with: refused, unless the change is meant."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from decathlon.config.recipe import Recipe
from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError
from decathlon.models.registry import find_method
from decathlon.runs.record import RecordedChange, RunRecord

FLAGS = {"domains": "the domains", "options": "--set", "regime": "--freeze or --no-freeze"}
# the state of a run is counted in steps of these, or shaped by them
FIXED = (
    "epochs", "batch", "epoch_batches", "sampling", "together", "optimizer", "momentum", "objective", "weighting",
    "domains", "keep", "average", "aux_optimizer", "depth_lr", "heads",
)  # fmt: skip
INPUT = ("size", "side", "eval_size", "crop")


@dataclass(frozen=True)
class ResumeRequest:
    """What a user gives when resuming; what is None or empty was not given and stays as it was.

    `options` are recipe options given one by one, `recipe` is a whole recipe with those in it. `fields` holds
    method, trunk, seed, fit, domains, options and regime by their names in the record. `allow` accepts changes.
    """

    data: Path | None = None
    device: str | None = None
    threads: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    allow: bool = False


@dataclass(frozen=True)
class Change:
    """One value that differs from what a run was begun with, and the `flag` that gave it.

    `possible` says whether the run can continue with it.
    """

    name: str
    before: Any
    now: Any
    flag: str
    possible: bool = True

    def describe(self) -> str:
        """Return the change in words, as `lr 0.1, not 0.05`."""
        return f"{self.name} {format_value(self.before)}, not {format_value(self.now)}"


def find_changes(record: RunRecord, request: ResumeRequest, partly: bool) -> list[Change]:
    """Return where a request differs from the record, the data aside.

    `partly` says that some domains have finished training: the input of their networks can no longer change.
    """
    found = [
        Change(name, *_compared(record, name, value), FLAGS.get(name, f"--{name}"), False)
        for name, value in request.fields.items()
    ]
    before = record.recipe.to_json()
    new = {name: value for name, value in request.options.items() if value != before[name]}
    wanted = (request.recipe or record.recipe.override(new, "the command line")).to_json()
    fixed = FIXED + INPUT if partly else FIXED
    for name, value in before.items():
        if request.recipe and name == "about":
            continue
        # a size takes side and eval_size along, and an option of all domains takes the place of their own
        flags = [f"--{option.replace('_', '-')}" for option in ([name] if name in new else new)]
        flag = "--recipe" if request.recipe and name not in new else " and ".join(flags)
        found.append(Change(name, value, wanted[name], flag, name not in fixed))
    found.append(Change("device", record.device, request.device or record.device, "--device"))
    found.append(Change("threads", record.threads, request.threads or record.threads, "--threads"))
    return sorted((change for change in found if change.before != change.now), key=lambda change: change.name)


def data_change(record: RunRecord, packed: PackedFile) -> list[Change]:
    """Return the change to another packed file, nothing where it holds what the run was begun with.

    Other images of the same domains are possible if there are equally many: otherwise steps would not add up.
    """
    if packed.digest == record.data.digest:
        return []
    names = packed.benchmark.names
    # other domains may have come into the file: they are nothing to this run
    if all(domain.name in names and domain.digests == packed.digests(domain.name) for domain in record.domains):
        return []
    alike = True
    for domain in record.domains:
        there = domain.name in names
        alike &= there and packed.benchmark[domain.name].category_ids == domain.categories
        alike &= there and domain.images == sum(packed.count(domain.name, split) for split in record.splits)
    before = f"{record.data.path} ({record.data.digest[:16]})"
    return [Change("data", before, f"{packed.path} ({packed.digest[:16]})", "--data", alike)]


def refuse(folder: Path, changes: list[Change], allow: bool) -> None:
    """Raise UsageError where one of the changes is impossible, or none is allowed."""
    impossible = [change for change in changes if not change.possible]
    others = [change for change in changes if change.possible and not allow]
    for some, way in (
        (impossible, "or train a new run under another name"),
        (others, "or add --allow-change to continue with the new value, which run.json will record"),
    ):
        if some:
            flags = " and ".join(dict.fromkeys(change.flag for change in some))
            described = "; ".join(change.describe() for change in some)
            raise UsageError(f"{folder} was begun with {described}. Leave out {flags}, {way}.")


def changed(record: RunRecord, changes: list[Change], lines: int) -> RunRecord:
    """Return the record with changes made and noted; `lines` of metrics were written before them."""
    recipe = {change.name: change.now for change in changes if change.name in record.recipe.to_json()}
    others = {change.name: change.now for change in changes if change.name in ("device", "threads")}
    noted = tuple(RecordedChange(change.name, change.before, change.now, lines) for change in changes)
    # not `override`: that would drop the tables of single domains
    new = Recipe().override(record.recipe.to_json() | recipe)
    return replace(record, recipe=new, changes=record.changes + noted, **others)


def _compared(record: RunRecord, name: str, value: Any) -> tuple[Any, Any]:
    """Return a field of the record and the value wanted for it, in the same form."""
    if name == "trunk":
        kind = find_method(record.method)
        value = kind.trunk_name(value, kind.choose(record.options))
        source = record.trunk.source or record.trunk.name
        same = Path(source).is_dir() and Path(value).is_dir() and Path(source).samefile(value)
        return source, source if same else value
    if name == "domains":
        return list(record.names), list(dict.fromkeys(value))
    if name == "options":
        return {key: record.options.get(key) for key in value}, dict(value)
    return getattr(record, name), value


def format_value(value: Any) -> str:
    """Return a value as a user writes it."""
    if isinstance(value, dict):
        return " ".join(f"{name}={format_value(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
