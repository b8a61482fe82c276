"""Which files are known, who serves them and what their digests are: a built-in TOML file and a user's own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from decathlon.data_prep.sources.file_names import unsafe
from decathlon.errors import DataError, nearest, unknown
from decathlon.system.files import read_bytes

FACTS = "mirrors.toml"
OFFICIAL_GROUP = "official"
_TEXTS = ("group", "about", "manual")
_DIGESTS = {"sha256": 64, "md5": 32}  # the stronger first; in hexadecimal digits
_KEYS = (*_TEXTS, "bytes", *_DIGESTS, "mirrors")
_IDENTITY = {"bytes", *_DIGESTS}  # what says which file is meant


@dataclass(frozen=True)
class KnownFile:
    """A file with its digest; `size` in bytes, None if unknown; `manual` says what to do where no link is open."""

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
    """Return the known files by name, those of the user's file `own` included.

    A table of `own` with bytes or a digest stands in place of the built-in one; without them its mirrors come
    before the built-in ones. Raises DataError naming the file and the key that is wrong.
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
    asked = set(names or (OFFICIAL_GROUP,))
    return [file for file in known.values() if {file.name, file.group} & asked]


def _merged(built_in: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    if own.keys() & _IDENTITY:
        return {key: built_in[key] for key in ("group", "about") if key in built_in} | dict(own)
    mirrors = [*own.get("mirrors", ()), *built_in.get("mirrors", ())]
    return {**built_in, **own, "mirrors": list(dict.fromkeys(mirrors))}


def _known(name: str, table: Mapping[str, Any], source: str) -> KnownFile:
    algorithm = next((kind for kind in _DIGESTS if kind in table), None)
    if algorithm is None:
        raise DataError(
            f'{source}: files."{name}" has no sha256 or md5: add one, what comes is checked against it.'
        )
    if not table.get("mirrors") and not table.get("manual"):
        raise DataError(f'{source}: files."{name}" has no mirrors: add a list of URLs.')
    texts = {key: table.get(key, "") for key in _TEXTS}
    mirrors = tuple(dict.fromkeys(table.get("mirrors", ())))
    return KnownFile(name, algorithm, table[algorithm].lower(), table.get("bytes"), mirrors, **texts)


def _read(data: bytes, source: str) -> dict[str, dict[str, Any]]:
    """Return the tables of a file by name, every key and value checked."""
    try:
        content = tomllib.loads(data.decode())
    except ValueError as error:
        raise DataError(f"{source} is not valid TOML: {error}.") from None
    for key in content.keys() - {"files"}:
        raise DataError(f'{source}: unknown key {key}, write one table [files."NAME"] for each file.')
    tables = content.get("files", {})
    if not isinstance(tables, dict):
        raise DataError(f'{source}: files must be tables, write [files."NAME"] for each.')
    for name, table in tables.items():
        _check(name, table, source)
    return tables


def _check(name: str, table: object, source: str) -> None:
    where = f'{source}: files."{name}"'
    if unsafe(name) or "/" in name or name.startswith("."):
        raise DataError(f"{source}: {name!r} is no plain file name, write one without folders and leading dots.")
    if not isinstance(table, dict):
        raise DataError(f'{where} must be a table (a name with a dot needs quotes: [files."NAME"]).')
    for key, value in table.items():
        if key not in _KEYS:
            raise DataError(f"{where} has the unknown key {key}. {nearest(key, _KEYS)}")
        wrong = _wrong(key, value)
        if wrong:
            raise DataError(f"{where}: {key} must be {wrong}, not {value!r:.80}.")


def _wrong(key: str, value: object) -> str | None:
    """Say what the value of a key must be, None if it is."""
    if key == "bytes":
        return None if type(value) is int and value > 0 else "a number of bytes above 0"
    if key == "mirrors":
        return None if isinstance(value, list) and all(map(_is_url, value)) else "a list of http or https URLs"
    if key in _DIGESTS:
        digits = _DIGESTS[key]
        fits = isinstance(value, str) and re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", value)
        return None if fits else f"{digits} hexadecimal digits"
    return None if isinstance(value, str) and value.isprintable() else "one line of text"


def _is_url(value: object) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
