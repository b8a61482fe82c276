"""The known methods: the files of `adapters/`, then those that installed packages register."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from collections.abc import Iterable
from dataclasses import fields
from types import ModuleType
from typing import Any

from decathlon import adapters
from decathlon.config.options import choices, read_settings
from decathlon.errors import UsageError, unknown
from decathlon.models.method import TRUNKS, Method


def methods() -> dict[str, str]:
    """Return every known method by name with the first line of its docstring, or the error it fails with."""
    return {name: _line(name) for name in _names()}


def find_method(name: str) -> type[Method]:
    """Return the method class called `name`; raises UsageError with the nearest names."""
    if name not in _names():
        raise unknown("method", name, _names())
    module = _load(name)
    found = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Method)]
    own_classes = [kind for kind in found if kind.__module__ == module.__name__]
    if len(own_classes) != 1:
        raise UsageError(
            f"method '{name}' needs exactly one Method in {module.__name__}, it defines {len(own_classes)}."
        )
    return own_classes[0]


def read_options(name: str, settings: Iterable[str]) -> dict[str, Any]:
    """Return the option values in `name=value` settings for the method called `name`; raises UsageError."""
    return read_settings(find_method(name).options, settings, f"method '{name}'")


def explain(name: str) -> str:
    """Return a method's docstring, the trunks it works with, and its options with their defaults."""
    kind = find_method(name)
    lines = [
        (_load(name).__doc__ or "").strip(),
        "",
        "Trunk: " + ", or ".join(TRUNKS[r] for r in kind.regimes) + ".",
    ]
    may_be = choices(kind.options)
    for each in fields(kind.options):
        default = str(getattr(kind.options, each.name)).lower()
        lines.append(f"--set {each.name}={default}   {each.metadata['about']} ({may_be[each.name]})")
    return "\n".join(lines)


def _names() -> dict[str, str]:
    """Map a method's name to the module that defines it: the files of `adapters/` win over entry points."""
    inside = {
        entry.name.replace("_", "-"): f"decathlon.adapters.{entry.name}"
        for entry in pkgutil.iter_modules(adapters.__path__)
    }
    outside = {point.name: point.value for point in importlib.metadata.entry_points(group="decathlon.adapters")}
    return outside | inside


def _line(name: str) -> str:
    try:
        find_method(name)
    except UsageError as error:  # the others can be used
        return str(error).removeprefix(f"method '{name}' ")
    return (_load(name).__doc__ or "").strip().partition("\n")[0].removeprefix(f"{name}: ")


def _load(name: str) -> ModuleType:
    module = _names()[name]
    try:
        return importlib.import_module(module)
    except Exception as error:  # a third-party file may do anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"method '{name}' cannot be imported ({reason}). Fix {module}.") from error
