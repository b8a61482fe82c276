"""What a resumed run is asked for again: nothing else than what it was begun with, unless a change is meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decathlon.config.recipe import Recipe
from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError
from decathlon.models.registry import find_method

FLAGS = {"domains": "the domains", "options": "--set", "regime": "--freeze or --no-freeze"}
# the state of a run is counted in steps of these, or shaped by them
FIXED = (
    "epochs", "batch", "epoch_batches", "sampling", "together", "optimizer", "momentum", "weighting", "domains",
)  # fmt: skip
INPUT = ("size", "side", "crop")


@dataclass(frozen=True)
class ResumeRequest:
    """What is said when resuming; what is None or empty was not said and stays as it was.

    `knobs` are those said one by one, `recipe` is a whole one with those in it. `request` holds method, trunk,
    seed, … by the names they have in run.json. `allow` takes changes on purpose.
    """

    data: Path | None = None
    device: str | None = None
    threads: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    allow: bool = False


@dataclass(frozen=True)
class Change:
    """One value that is not what a run was begun with, and the `flag` that said so.

    `possible` says whether the run can go on with it.
    """

    name: str
    before: Any
    now: Any
    flag: str
    possible: bool = True

    def told(self) -> str:
        """Return the change in words, as `lr 0.1, not 0.05`."""
        return f"{self.name} {words(self.before)}, not {words(self.now)}"


def find_changes(asked: Mapping[str, Any], again: ResumeRequest, partly: bool) -> list[Change]:
    """Return what is asked for otherwise than run.json says, the data aside.

    `partly` says that some domains are trained to the end: what their networks are fed can change no more.
    """
    found = [
        Change(name, *_compared(asked, name, value), FLAGS.get(name, f"--{name}"), False)
        for name, value in again.request.items()
    ]
    before = Recipe().override(asked["recipe"])
    wanted = (
        again.recipe.to_json() if again.recipe else before.override(again.options, "the command line").to_json()
    )
    fixed = FIXED + INPUT if partly else FIXED
    for name, value in before.to_json().items():
        said = name in again.options
        if said or (again.recipe and name != "about"):
            flag = f"--{name.replace('_', '-')}" if said else "--recipe"
            found.append(Change(name, value, wanted[name], flag, name not in fixed))
    for name, value in (("device", again.device), ("threads", again.threads)):
        found.append(Change(name, asked[name], asked[name] if value is None else value, f"--{name}"))
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
    return [Change("data", before, f"{packed.path} ({packed.digest[:16]})", "--data", alike)]


def refuse(folder: Path, changes: list[Change], allow: bool) -> None:
    """Raise UsageError where one of the changes is not possible, or none is allowed."""
    never = [change for change in changes if not change.possible]
    others = [change for change in changes if change.possible and not allow]
    for some, way in (
        (never, "or train a new run under another name"),
        (others, "or add --allow-change to go on with what is new; run.json then says so"),
    ):
        if some:
            flags = " and ".join(dict.fromkeys(change.flag for change in some))
            told = "; ".join(change.told() for change in some)
            raise UsageError(f"{folder} was begun with {told}: leave out {flags}, {way}.")


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
        kind = find_method(asked["method"])
        value = kind.trunk_name(value, kind.choose(asked["options"]))
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
