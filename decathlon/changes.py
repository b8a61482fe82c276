"""What a resumed run is asked for again: nothing else than what it was begun with, unless a change is meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decathlon.errors import UsageError
from decathlon.packed import PackedFile
from decathlon.recipe import Recipe

FLAGS = {"domains": "the domains", "options": "--set", "regime": "--freeze or --no-freeze"}
# the state of a run is counted in steps of these, or shaped by them
FIXED = (
    "epochs", "batch", "epoch_batches", "sampling", "together", "optimizer", "momentum", "weighting", "domains",
)  # fmt: skip


@dataclass(frozen=True)
class Again:
    """What is said when resuming; what is None or empty was not said and stays as it was.

    `request` holds method, trunk, seed, … by the names they have in run.json. `allow` takes changes on purpose.
    """

    data: Path | None = None
    device: str | None = None
    threads: int | None = None
    knobs: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    allow: bool = False


@dataclass(frozen=True)
class Change:
    """One value that is not what a run was begun with; `possible` says whether the run can go on with it."""

    name: str
    before: Any
    now: Any
    possible: bool = True

    def told(self) -> str:
        """Return the change in words, as `lr 0.1, not 0.05`."""
        return f"{self.name} {words(self.before)}, not {words(self.now)}"


def find_changes(asked: Mapping[str, Any], again: Again) -> list[Change]:
    """Return what is asked for otherwise than run.json says, the data aside."""
    before = Recipe().override(asked["recipe"])
    knobs, wanted = before.to_json(), before.override(again.knobs, "the command line").to_json()
    found = [Change(name, *_compared(asked, name, value), False) for name, value in again.request.items()]
    for name in wanted.keys() - {"about"}:
        found.append(Change(name, knobs[name], wanted[name], name not in FIXED))
    for name, value in (("device", again.device), ("threads", again.threads)):
        found.append(Change(name, asked[name], asked[name] if value is None else value))
    return sorted((change for change in found if change.before != change.now), key=lambda change: change.name)


def data_change(asked: Mapping[str, Any], packed: PackedFile) -> list[Change]:
    """Return what to change for another packed file, nothing where it holds what the run was begun with.

    Other images of the same domains are possible: in the same number, or the steps would count something else.
    """
    if packed.digest == asked["data"]["digest"]:
        return []
    splits = asked["fit"].split("+")
    alike = True
    for entry in asked["domains"]:
        there = entry["name"] in packed.benchmark.names
        alike &= there and list(packed.benchmark[entry["name"]].category_ids) == entry["categories"]
        images = sum(packed.count(entry["name"], split) for split in splits) if there else 0
        alike &= images == entry.get("images", images)
    before = f"{asked['data']['path']} ({asked['data']['digest'][:16]})"
    return [Change("data", before, f"{packed.path} ({packed.digest[:16]})", alike)]


def refuse(folder: Path, changes: list[Change], allow: bool) -> None:
    """Raise UsageError for the first change that is not possible, or not allowed."""
    for change in changes:
        flag = FLAGS.get(change.name, f"--{change.name.replace('_', '-')}")
        said = f"{folder} was begun with {change.told()}"
        if not change.possible:
            raise UsageError(f"{said}: leave out {flag}, or train a new run under another name.")
        if not allow:
            raise UsageError(
                f"{said}: leave out {flag}, or add --allow-change to go on with the new one; run.json then says so."
            )


def changed(asked: Mapping[str, Any], changes: list[Change], lines: int) -> dict[str, Any]:
    """Return run.json with changes made and written down; `lines` of metrics were written before them."""
    new = {**asked, "recipe": {**asked["recipe"]}}
    for change in changes:
        if change.name in new["recipe"]:
            new["recipe"][change.name] = change.now
        elif change.name != "data":
            new[change.name] = change.now
    told = [{"name": c.name, "before": c.before, "now": c.now, "after_lines": lines} for c in changes]
    return new | {"changes": [*asked.get("changes", ()), *told]}


def _compared(asked: Mapping[str, Any], name: str, value: Any) -> tuple[Any, Any]:
    """Return what run.json has under a name of a request and what is wanted, in the same form."""
    if name == "trunk":
        source = asked["trunk"].get("source") or asked["trunk"]["name"]
        same = Path(source).is_dir() and Path(value).is_dir() and Path(source).samefile(value)
        return source, source if same else value
    if name == "domains":
        names = [entry["name"] for entry in asked["domains"]]
        return names, list(dict.fromkeys(value))
    if name == "options":
        return {key: asked["options"].get(key) for key in value}, dict(value)
    return asked[name], value


def words(value: Any) -> str:
    """Return a value as a user writes it."""
    if isinstance(value, dict):
        return " ".join(f"{name}={words(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
