"""Recipes as TOML files: some are built in, and any file may build on one of those with `base = "name"`.

The nearest value wins: the command line over the file, the file over its base, the base over the defaults.
"""

import inspect
import json
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from decathlon.config.recipe import Recipe
from decathlon.errors import DataError, UsageError, unknown
from decathlon.system.files import read_bytes
from decathlon.system.text import format_value

FOLDER = resources.files("decathlon.config") / "recipes"


def recipes() -> dict[str, str]:
    """Return the built-in recipes by name with one line each."""
    return {name: _built_in(name).about for name in _names()}


def find_recipe(name: str | Path) -> Recipe:
    """Return a built-in recipe by name or read one from a TOML file.

    Raises UsageError for an unknown name or option, DataError for a file that cannot be read.
    """
    name = str(name)
    if not name.endswith(".toml"):
        return _built_in(name)
    return _parse(read_bytes(Path(name), "the recipe "), name)


def recipe_text(recipe: Recipe) -> str:
    """Return every option of a recipe as commented TOML, tables of domains last: a file that needs no base."""
    about = dict(re.findall(r"^    (\w+): .+?  # (.+)$", inspect.getsource(Recipe), re.MULTILINE))
    options = {name: value for name, value in recipe.to_json().items() if name != "domains"}
    notes = {name: f"  # {text}" for name, text in about.items()}
    lines = [_line(name, value) + notes.get(name, "") for name, value in options.items()]
    for domain, table in recipe.domains.items():
        key = domain if re.fullmatch(r"[\w-]+", domain, re.ASCII) else json.dumps(domain, ensure_ascii=False)
        lines += ["", f"[domains.{key}]", *(_line(name, value) for name, value in table.items())]
    return "\n".join(lines)


def _line(name: str, value: Any) -> str:
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"


def _names() -> list[str]:
    return sorted(entry.name.removesuffix(".toml") for entry in FOLDER.iterdir() if entry.name.endswith(".toml"))


def _built_in(name: str, above: tuple[str, ...] = ()) -> Recipe:
    """Return a built-in recipe; `above` are the recipes that build on it."""
    if name not in _names():
        raise unknown("recipe", name, _names())
    if name in above:
        raise UsageError(f"recipe {name} is its own base ({' from '.join((*above, name))}). Change a base.")
    return _parse((FOLDER / f"{name}.toml").read_bytes(), f"recipe {name}", (*above, name))


def _parse(data: bytes, source: str, above: tuple[str, ...] = ()) -> Recipe:
    try:
        values = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source} is not valid TOML: {error}.") from None
    base = values.pop("base", None)
    if base is None:
        return Recipe().override(values, source)
    if base not in _names():
        name = format_value(base).strip("'")
        raise unknown("base", name, _names(), f" in {source}, it must be a built-in recipe")
    return _built_in(base, above).override(values, source)
