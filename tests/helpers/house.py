"""The rules of the house: which room may import which, read from syntax trees."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Each room may import the rooms before it, never those after it.
FLOORS = [
    ("system",),
    ("kernels",),
    ("data",),
    ("config",),
    ("models",),
    ("runs",),
    ("scoring",),
    ("inference", "reports"),  # on one floor: neither imports the other
    ("training",),
    ("experiments",),
]
ROOMS = [room for floor in FLOORS for room in floor]
PREP_FLOORS = [
    ("sources",),
    ("download",),
    ("packing",),
    ("challenge",),
    ("originals", "custom", "synth", "inspection"),
]
PREP_ROOMS = [room for floor in PREP_FLOORS for room in floor]

# The packages that stand at the top of the repository: what each may import besides `errors` and itself.
TOP = {
    "adapters": ["models"],
    "data_prep": ["system", "data", "reports.tables"],
    "cli": [*ROOMS, "adapters", "data_prep"],
}

# Imports against the order, each with its reason.
EXCEPTIONS = {
    ("decathlon.models.registry", "decathlon.adapters"): "finds methods in their folder, by name, at run time",
    ("decathlon.__main__", "decathlon.cli.main"): "`python -m decathlon` is the command",
}

STRING_IMPORT = re.compile(r"decathlon((?:\.\w+)+)\.?(?::\w+)?")  # a part of an f-string ends in a full stop


@dataclass(frozen=True)
class Import:
    """One import: the module it stands in, the line, and the dotted name it reaches for."""

    module: str
    line: int
    target: str


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Return the file of every module of the package by its dotted name; a package has the name of its folder."""
    found = {}
    for top, package in {"decathlon": "decathlon", **{name: f"decathlon.{name}" for name in TOP}}.items():
        for path in sorted((root / top).rglob("*.py")):
            parts = path.relative_to(root / top).with_suffix("").parts
            if top != "decathlon" or parts[0] not in TOP:  # links to the other three
                found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


def imports(module: str, source: str, is_package: bool = False) -> Iterator[Import]:
    """Yield what a module imports of this project, wherever it does: in functions and by strings, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: -node.level + is_package or None]
                base = ".".join([*parents, base]).rstrip(".")
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = STRING_IMPORT.fullmatch(node.value)
            names = [f"decathlon{found[1]}"] if found and found[1].split(".")[1] in (*ROOMS, *TOP) else []
        else:
            continue
        for name in names:
            if name.split(".")[0] == "decathlon":
                yield Import(module, node.lineno, name)


def room_of(name: str) -> str:
    """Return the room that a dotted name stands in: one of ROOMS, one of TOP, or another name at the root."""
    return (*name.split("."), "")[1]


def fault(found: Import) -> str:
    """Return what is wrong with an import, empty when nothing is."""
    for module, target in EXCEPTIONS:
        if found.module == module and (found.target + ".").startswith(target + "."):
            return ""
    mine, theirs = room_of(found.module), room_of(found.target)
    where = f"{found.module}:{found.line} imports {found.target}"
    if mine == "":
        return ""  # decathlon/__init__.py names what it exports, lazily
    if theirs in ("errors", "__version__"):
        return ""
    if theirs not in (*ROOMS, *TOP):
        return f"{where}: inside the package, import a name from where it is defined"
    if mine in TOP:
        allowed = [f"decathlon.{name}" for name in (mine, *TOP[mine])]
        if not any((found.target + ".").startswith(name + ".") for name in allowed):
            return f"{where}: {mine} may import only errors, {', '.join(TOP[mine])} and itself"
        if mine == theirs == "data_prep":
            return _against_order(found, PREP_FLOORS, 2)
        return ""
    if theirs in TOP:
        return f"{where}: decathlon/ does not know {theirs}"
    return _against_order(found, FLOORS, 1)


def _against_order(found: Import, floors: list[tuple[str, ...]], depth: int) -> str:
    mine, theirs = ((*name.split("."), "", "")[depth] for name in (found.module, found.target))
    floor = {room: number for number, rooms in enumerate(floors) for room in rooms}
    if mine == theirs or mine not in floor or theirs not in floor or floor[theirs] < floor[mine]:
        return ""
    way = "upward" if floor[theirs] > floor[mine] else "across its floor"
    return f"{found.module}:{found.line} imports {found.target}: {way}, from {mine} to {theirs}"


@functools.cache  # reads every file
def all_imports(root: Path = ROOT) -> list[Import]:
    """Return every import within the project."""
    return [
        each
        for module, path in modules(root).items()
        for each in imports(module, path.read_text(encoding="utf-8"), path.name == "__init__.py")
    ]


def room_edges(root: Path = ROOT) -> set[tuple[str, str]]:
    """Return the imports between rooms as pairs (room, the room it imports), `errors` and the root left out."""
    rooms = {*ROOMS, *TOP}
    pairs = {(room_of(each.module), room_of(each.target)) for each in all_imports(root)}
    return {(mine, theirs) for mine, theirs in pairs if mine != theirs and mine in rooms and theirs in rooms}


def diagram() -> str:
    """Return the arrows of the diagram in docs/architecture.md; `python -m tests.helpers.house` prints them."""
    edges, order = arrows(), ["adapters", "data_prep", *reversed(ROOMS)]
    ends = {room: [end for end in order if (room, end) in edges] for room in order}
    lines = [
        f"    {room} --> {' & '.join(end for end in ends[room] if end not in TOP)}" for room in order if ends[room]
    ]
    against = [f"    {room} -.->|finds by name| {end}" for room in order for end in ends[room] if end in TOP]
    return "\n".join([*lines, *against])


def arrows() -> set[tuple[str, str]]:
    """Return the imports between rooms that are drawn: all but those from `cli` and those to `system`."""
    return {(begin, end) for begin, end in room_edges() if begin != "cli" and end != "system"}


if __name__ == "__main__":
    print(diagram())
