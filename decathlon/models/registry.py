"""The known methods: the files of `adapters/`, then those that installed packages register."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, get_args

from decathlon.config.options import choices, read_settings
from decathlon.errors import UsageError
from decathlon.models.method import TRUNKS, Group, Method
from decathlon.system.plugins import Plugins

METHODS: Plugins[Method] = Plugins("method", "decathlon.adapters", Method)


def methods() -> dict[str, str]:
    """Return every known method by name with the first line of its docstring, or the error it fails with."""
    return {name: _line(name) for name in METHODS.names()}


def grouped() -> dict[str, dict[str, str]]:
    """Return what `methods` does, by the groups of methods; those that cannot be imported stand last."""
    found: dict[str, dict[str, str]] = {group: {} for group in (*get_args(Group), "broken")}
    for name, about in methods().items():
        try:
            found[find_method(name).group][name] = about
        except UsageError:
            found["broken"][name] = about
    return {group: members for group, members in found.items() if members}


def find_method(name: str) -> type[Method]:
    """Return the method class called `name`; raises UsageError with the nearest names."""
    return METHODS.find(name)


def read_options(name: str, settings: Iterable[str]) -> dict[str, Any]:
    """Return the option values in `name=value` settings for the method called `name`; raises UsageError."""
    return read_settings(find_method(name).options, settings, f"method '{name}'")


def explain(name: str) -> str:
    """Return a method's docstring, the trunks it works with, and its options with their defaults."""
    kind = find_method(name)
    lines = [_docstring(name), "", f"Trunk: {', or '.join(TRUNKS[regime] for regime in kind.regimes)}."]
    fixed = [each.name for each in fields(kind.options) if not each.metadata["may_differ"]]
    same = f" with the same {' and '.join(fixed)}" if fixed else ""
    lines += [
        f"Over a run of {name}{same} (--trunk RUN), a domain continues with all it learned there, its head too;",
        "a domain that the run does not have starts anew.",
    ]
    may_be = choices(kind.options)
    for each in fields(kind.options):
        default = str(getattr(kind.options, each.name)).lower()
        lines.append(f"--set {each.name}={default}   {each.metadata['about']} ({may_be[each.name]})")
    return "\n".join(lines)


def _line(name: str) -> str:
    try:
        find_method(name)
    except UsageError as error:  # the others can be used
        return str(error).removeprefix(f"method '{name}' ")
    return _docstring(name).partition("\n")[0].removeprefix(f"{name}: ")


def _docstring(name: str) -> str:
    return (METHODS.load(name).__doc__ or "").strip()
