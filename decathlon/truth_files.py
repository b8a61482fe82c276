"""Where ground truth stands: `<domain>_test.json` in a folder, in a zip that is read in place, or named itself."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from decathlon.errors import DataError
from decathlon.system.checksums import read_sealed, unsealed
from decathlon.system.strict_json import parse_json

SUFFIX = "_test.json"
AGAIN = "put back a copy or add the domain again"
LARGEST_MEMBER = 200 * 2**20  # bytes unpacked; the largest official file has 10 MB


def documents(path: Path) -> Iterator[tuple[str, Any, str]]:
    """Yield domain, parsed content and source of every file of a folder or a zip, or of the one file named."""
    if path.is_dir():
        folders = (path, path / "annotations")
        found = next((files for files in map(_truth_files, folders) if files), [])
        yield from ((_domain_name(file.name), read_sealed(file, AGAIN), str(file)) for file in found)
    elif _is_truth(path.name):
        yield _domain_name(path.name), read_sealed(path, AGAIN), str(path)
    elif path.exists() and not path.is_file():  # to open a pipe is to wait for ever
        raise DataError(f"cannot read {path}: it is no regular file.")
    else:
        yield from _members(path)


def _truth_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob(f"*{SUFFIX}") if _is_truth(file.name))


def _is_truth(name: str) -> bool:
    # Archives made on a Mac carry a `._name` beside every name.
    return name.endswith(SUFFIX) and name != SUFFIX and not name.startswith(".")


def _domain_name(file_name: str) -> str:
    return file_name.removesuffix(SUFFIX)


def _members(path: Path) -> Iterator[tuple[str, Any, str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for name, member in _truths(archive, path).items():
                source = f"{path}:{member.filename}"
                yield (
                    _domain_name(name),
                    unsealed(parse_json(_unpack(archive, member, source), source), source, AGAIN),
                    source,
                )
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from None
    # RuntimeError is a password, NotImplementedError an unknown compression.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise DataError(
            f"{path} is neither a folder, nor a <domain>{SUFFIX}, nor a sound zip of them ({error}): "
            "name another or copy it again."
        ) from None


def _truths(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.rpartition("/")[2]
        if name in found:
            raise DataError(f"{path} holds {name} twice: keep one of them.")
        if _is_truth(name):
            found[name] = member
    return found


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, source: str) -> bytes:
    if member.file_size > LARGEST_MEMBER:
        raise DataError(
            f"{source} unpacks to {member.file_size:,} bytes, more than the {LARGEST_MEMBER:,} that are read: "
            "unpack it yourself and name the folder if it is genuine."
        )
    return archive.read(member)
