"""The known files, who serves them and their digests: a built-in TOML file and the user's own."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from decathlon.data_prep.sources.image_ref import unsafe
from decathlon.errors import DataError, unknown
from decathlon.system.files import read_bytes
from decathlon.system.schema import find_fault

FACTS = "mirrors.toml"
OFFICIAL_GROUP = "official"
_TEXTS = ("group", "about", "manual")
_DIGESTS = {"sha256": 64, "md5": 32}  # the stronger first; in hexadecimal digits
_IDENTITY = {"bytes", *_DIGESTS}  # the keys that say which file is meant


def _line(value: Any) -> str | None:
    return None if isinstance(value, str) and value.isprintable() else "one line of text"


def _size(value: Any) -> str | None:
    return None if type(value) is int and value > 0 else "a number of bytes above 0"


def _digits(number: int) -> Callable[[Any], str | None]:
    def wanted(value: Any) -> str | None:
        fits = isinstance(value, str) and re.fullmatch(rf"[0-9a-fA-F]{{{number}}}", value)
        return None if fits else f"{number} hexadecimal digits"

    return wanted


def _url(value: Any) -> str | None:
    try:
        parts = urlsplit(value if isinstance(value, str) and re.fullmatch(r"[!-~]+", value) else "")
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    return None if fits else "a http or https URL"


_TABLE = {
    **{f"{key}?": _line for key in _TEXTS},
    "bytes?": _size,
    **{f"{key}?": _digits(number) for key, number in _DIGESTS.items()},
    "mirrors?": [_url],
}
_KEYS = [key.rstrip("?") for key in _TABLE]


@dataclass(frozen=True)
class KnownFile:
    """A file with its digest; `size` in bytes, None if unknown; `manual` says what to do if no link is open."""

    name: str
    algorithm: str  # sha256 or md5
    digest: str
    size: int | None = None
    mirrors: tuple[str, ...] = ()
    group: str = ""
    about: str = ""
    manual: str = ""

    @property
    def checked_by(self) -> str:
        """Return the digest's kind as people write it."""
        return {"sha256": "SHA-256", "md5": "MD5"}[self.algorithm]


def known_files(own: Path | None = None) -> dict[str, KnownFile]:
    """Return the known files by name, including those of the user's file `own`.

    A table of `own` with bytes or a digest replaces the built-in one; without them its mirrors come before the
    built-in ones. Raises DataError naming the file and the key that is wrong.
    """
    tables = _read(files("decathlon.data_prep.download").joinpath(FACTS).read_bytes(), FACTS)
    if own is not None:
        for name, table in _read(read_bytes(own, "the mirrors "), str(own)).items():
            tables[name] = _merged(tables.get(name, {}), table)
    return {name: _known(name, table, str(own or FACTS)) for name, table in tables.items()}


def select(known: Mapping[str, KnownFile], names: tuple[str, ...]) -> list[KnownFile]:
    """Return the files of these names and groups, each once; without names the official ones.

    Raises UsageError for a name that is neither.
    """
    groups = {file.group for file in known.values()} - {""}
    for name in names:
        if name not in known and name not in groups:
            raise unknown("file or group", name, {*known, *groups})
    selected = set(names or (OFFICIAL_GROUP,))
    return [file for file in known.values() if {file.name, file.group} & selected]


def _merged(built_in: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    if own.keys() & _IDENTITY:
        return {key: built_in[key] for key in ("group", "about") if key in built_in} | dict(own)
    return {**built_in, **own, "mirrors": [*own.get("mirrors", ()), *built_in.get("mirrors", ())]}


def _known(name: str, table: Mapping[str, Any], source: str) -> KnownFile:
    algorithm = next((kind for kind in _DIGESTS if kind in table), None)
    if algorithm is None:
        raise DataError(f'{source}: files."{name}" has no sha256 or md5. Add one, to check the download against.')
    if not table.get("mirrors") and not table.get("manual"):
        raise DataError(f'{source}: files."{name}" has no mirrors. Add a list of URLs.')
    texts = {key: table.get(key, "") for key in _TEXTS}
    mirrors = tuple(dict.fromkeys(table.get("mirrors", ())))
    return KnownFile(name, algorithm, table[algorithm].lower(), table.get("bytes"), mirrors, **texts)


def _read(data: bytes, source: str) -> dict[str, dict[str, Any]]:
    """Return the tables of a file by name, every key and value checked."""
    try:
        content = tomllib.loads(data.decode())
    except ValueError as error:
        raise DataError(f"{source} is not valid TOML: {error}.") from None
    fix = 'Write one table [files."NAME"] for each file, as shown by: decathlon data fetch --help'
    for key in content.keys() - {"files"}:
        raise DataError(f"{source}: unknown key {key}. {fix}")
    if fault := find_fault(content, {"files?": {str: _TABLE}}):
        raise DataError(f"{source}: {fault}. {fix}")
    tables: dict[str, dict[str, Any]] = content.get("files", {})
    for name, table in tables.items():
        if unsafe(name) or "/" in name or name.startswith("."):
            raise DataError(f"{source}: {name!r} is not a plain file name. Use no folders and no leading dot.")
        for key in table.keys() - set(_KEYS):
            raise DataError(str(unknown("key", key, _KEYS, f' in {source}, files."{name}"')))
    return tables
