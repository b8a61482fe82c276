"""Ground truth: the category of every test image, read from annotation files in the challenge's format.

A file is called `<domain>_test.json` and holds `images`, `annotations` and `categories`; other keys and other
files are ignored. A zip is read in place: nothing is extracted.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decathlon.errors import DataError
from decathlon.system.checksums import read_sealed, unsealed
from decathlon.system.strict_json import parse_json

IDS_PER_DOMAIN = 10**7


@dataclass(frozen=True)
class TruthDomain:
    """One domain's answers: `answers` maps every test image's id to the id of its category."""

    name: str
    categories: frozenset[int]
    answers: Mapping[int, int]

    @property
    def majority(self) -> float:
        """The part of the images that show the most frequent category."""
        return max(Counter(self.answers.values()).values()) / len(self.answers)

    @property
    def index(self) -> int:
        """The domain's rank in its benchmark, which its category ids start with."""
        return min(self.categories) // IDS_PER_DOMAIN


@dataclass(frozen=True)
class Truth:
    """The answers of a benchmark's domains, in order of their index."""

    source: Path
    domains: tuple[TruthDomain, ...]

    def digest(self, without: Collection[str] = ()) -> str:
        """Return the SHA-256 of all ids and answers, the same in whatever order they were read."""
        told = {
            domain.name: [sorted(domain.categories), sorted(domain.answers.items())]
            for domain in self.domains
            if domain.name not in without
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def read_truth(path: str | Path) -> Truth:
    """Read ground truth from a folder or a zip of `<domain>_test.json` files, or from one such file.

    A folder may hold the files in `annotations/`. Raises DataError naming the file and what is wrong in it.
    """
    path = Path(path)
    domains = [_domain(name, data, source) for name, data, source in documents(path)]
    if not domains:
        raise DataError(f"{path} holds no <domain>{SUFFIX}: name the folder or zip with the ground truth.")
    domains.sort(key=lambda domain: (domain.index, domain.name))
    _refuse_shared_ids(path, domains)
    return Truth(path, tuple(domains))


def truth_folder(packed: Path) -> Path:
    """Return where `decathlon data add` writes the truth of domains it adds to a packed file."""
    return packed.with_name(f"{packed.stem}-truth")


def _domain(name: str, data: Any, source: str) -> TruthDomain:
    categories = frozenset(_unique_ids(data, "categories", source))
    images = _unique_ids(data, "images", source)
    answers: dict[int, int] = {}
    for annotation in _entries(data, "annotations", source):
        image, category = (_integer(annotation, key, source) for key in ("image_id", "category_id"))
        if image in answers:
            raise DataError(f"{source} annotates image {image} twice: an image has exactly one category.")
        if category not in categories:
            raise DataError(f"{source} gives image {image} the category {category}, which is not in `categories`.")
        answers[image] = category
    bare = [image for image in images if image not in answers]
    if bare or len(answers) != len(images):
        reason = f"image {bare[0]} has no annotation" if bare else "it annotates images that `images` does not list"
        raise DataError(f"{source} is not whole: {reason}.")
    return TruthDomain(name, categories, answers)


def _entries(data: Any, key: str, source: str) -> list[dict[str, Any]]:
    entries = data.get(key) if isinstance(data, dict) else None
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(
            f"{source} holds no {key}: ground truth needs images, annotations and categories "
            "(a file with 'stripped' in its name has no answers)."
        )
    return entries


def _unique_ids(data: Any, key: str, source: str) -> list[int]:
    ids = [_integer(entry, "id", source) for entry in _entries(data, key, source)]
    if len(set(ids)) != len(ids):
        raise DataError(f"{source} lists an id twice in `{key}`.")
    return ids


def _integer(entry: Mapping[str, Any], key: str, source: str) -> int:
    value = entry.get(key)
    if type(value) is not int:  # bool is an int to isinstance
        raise DataError(f"{source} has an entry whose {key} is not an integer: {str(value)[:40]}.")
    return value


def _refuse_shared_ids(path: Path, domains: list[TruthDomain]) -> None:
    images: dict[int, str] = {}
    categories: dict[int, str] = {}
    for domain in domains:
        for kind, ids, owner in (("image", domain.answers, images), ("category", domain.categories, categories)):
            shared = next((one for one in ids if one in owner), None)
            if shared is not None:
                raise DataError(
                    f"{path}: {domain.name} and {owner[shared]} share the {kind} id {shared}; ids are unique."
                )
            owner.update(dict.fromkeys(ids, domain.name))


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
