"""Options: the fields of a frozen dataclass, set by name from a file or the command line."""

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from decathlon.errors import UsageError, nearest, unknown
from decathlon.system.text import format_value

T = TypeVar("T")
BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    float: ((int, float), "a number"), int: ((int,), "a whole number"), bool: ((bool,), "true or false"),
    str: ((str,), "text"), tuple[float, ...]: ((list, tuple), "a list of numbers"),
}  # fmt: skip


def override(options: T, values: Mapping[str, Any], source: str) -> T:
    """Return a dataclass with some fields changed; raises UsageError for an unknown field or a wrong type.

    `source` names the origin of the values, as in "the command line".
    """
    kinds = get_type_hints(type(options))
    for name, value in values.items():
        if name not in kinds:
            raise unknown("option", name, kinds, f" in {source}")
        _check(name, value, kinds[name], source)
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    changed: T = dataclasses.replace(options, **fields)  # type: ignore[type-var]
    return changed


def read_settings(options: Any, settings: Iterable[str], source: str) -> dict[str, Any]:
    """Turn `name=value` settings into values of a dataclass's fields; raises UsageError for a wrong one."""
    kinds, values = get_type_hints(type(options)), dict[str, Any]()
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"{source}: expected NAME=VALUE, got '{setting}'.")
        if not kinds:
            raise UsageError(f"{source} has no options. Leave out '{setting}'.")
        if name not in kinds:
            raise UsageError(f"{source} has no option '{name}'. {nearest(name, kinds)}")
        if name in values:
            raise UsageError(f"{source}: '{name}' is set twice. Set it once.")
        values[name] = _value(text, kinds[name])
        _check(name, values[name], kinds[name], source)
    return values


def choices(options: Any) -> dict[str, str]:
    """Return a description of the values that each field of a dataclass takes."""
    return {name: _describe(kind) for name, kind in get_type_hints(type(options)).items()}


def _value(text: str, kind: Any) -> Any:
    """Read text as a value of a type; text that cannot be read is returned as it is, for `_check` to refuse."""
    if kind is bool:
        return BOOLEANS.get(text.lower(), text)
    with contextlib.suppress(ValueError):
        return kind(text) if kind in (int, float) else text
    return text


def _check(name: str, value: Any, kind: Any, source: str) -> None:
    if get_origin(kind) is Literal:
        right = value in get_args(kind)
    else:
        wanted, _ = KINDS.get(kind, ((dict,), ""))
        right = isinstance(value, wanted) and not (kind in (int, float) and isinstance(value, bool))
    if not right:
        raise UsageError(f"{source}: {name} is {format_value(value)}, it must be {_describe(kind)}.")


def _describe(kind: Any) -> str:
    if get_origin(kind) is Literal:
        *others, last = map(str, get_args(kind))
        return f"{', '.join(others)} or {last}" if others else last
    return KINDS.get(kind, ((), "a table"))[1]
