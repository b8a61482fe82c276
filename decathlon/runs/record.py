"""What run.json must hold: all that was asked of a run, resolved, and the SHA-256 of what it left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from decathlon.config.recipe import Recipe
from decathlon.errors import DataError, UsageError
from decathlon.system.checksums import AGAIN, FILES, read_sealed
from decathlon.system.schema import check, find_fault, name, path, within

SHAPE = {
    "format": Literal[1],
    "status": Literal["running", "done", "diverged"],
    "method": str,
    "label": str,
    "options": {str: (bool, int, float, str)},
    "regime": Literal["frozen", "joint", "private"],
    "trunk": {"name": str, "source?": str, "trained?": str},
    "recipe": dict,
    "fit": Literal["train", "train+val"],
    "seed": int,
    "starts_from_own_norms": [name],  # domains that began from norms which an earlier run left for them
    "domains": [{"name": name, "categories": [int], "images?": within(int, 1, 10**12)}],
    "benchmark": str,
    "data": {"path": path, "digest": str},
    "device": str,
    "bf16": bool,
    "threads": within(int, 1, 4096),
    "versions?": {str: str},
    "start?": str,  # SHA-256 of start.safetensors
    "begun?": str,  # SHA-256 of run.json as it was when the run began, before any change
    "changes?": [{"name": str, "after_lines": within(int, 0, 10**12)}],
    FILES + "?": {str: str},  # by the path of a file in the run directory, its SHA-256
}


def check_record(asked: dict[str, Any]) -> None:
    """Raise UsageError for what would be written and could never be read again."""
    fault = find_fault(asked, SHAPE)
    if fault:
        raise UsageError(f"this cannot be trained: {fault}; ask for another.")


def read_asked(file: Path) -> dict[str, Any]:
    """Return what a run.json says, with names and knobs as they are today; raises DataError for what is none."""
    asked = read_sealed(file, AGAIN)
    if isinstance(asked, dict):
        if "own_norms" in asked:  # its name before a method's option was called so
            asked["starts_from_own_norms"] = asked.pop("own_norms")
        for key, value in (("label", asked.get("method")), ("options", {})):
            asked.setdefault(key, value)  # runs from before methods had options
    check(asked, SHAPE, str(file), AGAIN)
    _check_values(asked, file)
    for unsafe in unsafe_names(asked.get(FILES, ())):
        raise DataError(f"{file} is damaged: {unsafe!r} is no file of a run; {AGAIN}.")
    asked.pop(FILES, None)
    return dict(asked)


def unsafe_names(names: Iterable[str]) -> list[str]:
    """Return those of a run's list of files that could lead out of its folder."""
    return [text for text in names if any(name(part) for part in text.split("/"))]


def _check_values(asked: dict[str, Any], file: Path) -> None:
    """Raise DataError for domains or categories that stand twice or are none; complete the recipe or refuse it."""
    names = [entry["name"] for entry in asked["domains"]]
    lists = {"domains": names} | {f"categories of {e['name']}": e["categories"] for e in asked["domains"]}
    for what, entries in lists.items():
        if not entries or len(set(entries)) < len(entries):
            raise DataError(f"{file} is damaged: its {what} are none or one stands twice; {AGAIN}.")
    try:
        # knobs that the run's release did not know are at their defaults
        asked["recipe"] = Recipe().override(asked["recipe"], "recipe").to_json()
    except UsageError as error:
        raise DataError(f"{file} is damaged or not of this release: {error}") from None
