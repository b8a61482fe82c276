"""Ground truth: the category of every image of a split, in annotation files of the challenge or in a packed file.

A file is named `<domain>_test.json` or `<domain>_val.json` and holds `images`, `annotations` and `categories`;
other keys and other files are ignored. A zip is read in place, nothing is extracted.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from decathlon.data.truth_file import MOST_ENTRIES, RESTORE, TruthDomain, parse
from decathlon.data.zips import opened, unpack
from decathlon.errors import DataError, UsageError
from decathlon.system.checksums import SEAL, check_seal
from decathlon.system.files import read_bytes
from decathlon.system.json_entries import Room, entries

SUFFIX = "_test.json"
STRIPPED = "_test_stripped.json"  # test images without their answers
Split = Literal["test", "val"]  # what can be predicted and scored
HDF5 = b"\x89HDF\r\n\x1a\n"  # how a packed file begins
LARGEST = 100 * 2**20  # bytes of all files together, unpacked; the official ones have 29 MB


@dataclass(frozen=True)
class Truth:
    """The answers of a benchmark's domains on one split, in order of their index."""

    source: Path
    domains: tuple[TruthDomain, ...]
    split: Split = "test"

    @property
    def packed(self) -> bool:
        """Whether the answers are the labels in a packed file."""
        return is_packed(self.source)

    def digest(self, without: Collection[str] = ()) -> str:
        """Return the SHA-256 of all ids and answers, independent of the order they were read in."""
        kept = [domain for domain in self.domains if domain.name not in without]
        content = {each.name: [sorted(each.categories), sorted(each.answers.items())] for each in kept}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_truth(path: str | Path, split: Split | None = None) -> Truth:
    """Read ground truth from a folder or a zip of `<domain>_test.json` files, from one such file or a packed file.

    With `split="val"` the files are `<domain>_val.json`; by default a single file's name decides, and otherwise it
    is the test split. A folder may hold the files in `annotations/`. Raises DataError naming the file and the fault
    in it, UsageError for one file of the other split.
    """
    path = Path(path)
    named = next((each for each in get_args(Split) if _is_truth(path.name, suffix(each))), None)
    if path.is_dir() or named is None:
        named = split or "test"
    if named != (split or named):
        raise UsageError(
            f"{path} holds the {named} split, but {split} images are scored. Name <domain>_{split}.json."
        )
    if is_packed(path):
        domains = _packed_domains(path, named)
    else:
        room = _room()
        domains = [parse(name, text, source, room) for name, text, source in documents(path, named)]
        if not domains:
            fix = "Name the folder or zip with the ground truth"
            fix = "Name the packed file, which has those labels" if named == "val" else fix
            raise DataError(f"{path} holds no <domain>{suffix(named)}. {fix}.")
    domains.sort(key=lambda domain: (domain.index, domain.name))
    _refuse_shared_ids(path, domains)
    return Truth(path, tuple(domains), named)


def _room() -> Room:
    return Room(MOST_ENTRIES, 2 * MOST_ENTRIES)


def suffix(split: Split) -> str:
    """Return how the names of the files with a split's ground truth end."""
    return f"_{split}.json"


def is_packed(path: Path) -> bool:
    """Return whether a file is HDF5, as packed files are."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(HDF5)) == HDF5
    except OSError:
        return False  # whoever reads it next says why


def _packed_domains(path: Path, split: Split) -> list[TruthDomain]:
    from decathlon.data.packed_file import PackedFile

    domains, bare = [], []
    with PackedFile(path) as packed:
        # as many as files of annotations may have, where each image is an entry of two lists
        if sum(packed.count(domain.name, split) for domain in packed.benchmark) > MOST_ENTRIES // 2:
            problem = f"{path} has more than {MOST_ENTRIES // 2:,} {split} images"
            raise DataError(f"{problem}, the limit of what is scored. Check that it is the right file.")
        for domain in packed.benchmark:
            if not packed.count(domain.name, split):
                continue
            labels, ids = (packed.column(domain.name, split, column).tolist() for column in ("label", "image_id"))
            if min(labels) < 0:
                bare.append(domain.name)
                continue
            answers = {image: domain.category_ids[label] for image, label in zip(ids, labels, strict=True)}
            images = packed.images_digest(domain.name, split)
            domains.append(TruthDomain(domain.name, frozenset(domain.category_ids), answers, images))
    if bare:
        beside = truth_folder(path)
        fix = f"Name {beside}" if beside.is_dir() else "Name the folder or zip with the ground truth"
        raise DataError(f"{path} holds no labels of the {split} images of {', '.join(bare)}. {fix}.")
    if not domains:
        raise DataError(f"{path} has no {split} split. Name the folder or zip with the ground truth.")
    return domains


def truth_folder(packed: Path) -> Path:
    """Return the folder where `decathlon data add` writes the ground truth of domains it adds to a packed file."""
    return packed.with_name(f"{packed.stem}-truth")


def stripped(truth: Path) -> Path:
    """Return the file beside `<domain>_test.json` for a domain whose test images have no labels."""
    return truth.with_name(truth.name.removesuffix(SUFFIX) + STRIPPED)


def check_stripped(path: Path) -> None:
    """Read a file of test images without answers to its end; raises DataError, or VerificationError for damage."""
    text = read_bytes(path, most=LARGEST)
    keys = {key for key, _, _ in entries(text, str(path), _room())}
    check_seal(text, SEAL in keys, str(path), RESTORE)


def _refuse_shared_ids(path: Path, domains: list[TruthDomain]) -> None:
    images: dict[int, str] = {}
    categories: dict[int, str] = {}
    for domain in domains:
        for kind, ids, owner in (("image", domain.answers, images), ("category", domain.categories, categories)):
            shared = next((one for one in ids if one in owner), None)
            if shared is not None:
                both = f"{owner[shared]} and {domain.name}. Number one of them again: ids are unique."
                raise DataError(f"{path} has the {kind} id {shared} in both {both}")
            owner.update(dict.fromkeys(ids, domain.name))


def documents(path: Path, split: Split = "test") -> Iterator[tuple[str, bytes, str]]:
    """Yield domain, content and source of every file of a split in a folder or zip, or of a single file."""
    end = suffix(split)
    if path.is_dir():
        folders = (path, path / "annotations")
        listed = (sorted(f for f in folder.glob(f"*{end}") if _is_truth(f.name, end)) for folder in folders)
        found = next(filter(None, listed), [])
        _refuse_large(path, (file.stat().st_size for file in found if file.is_file()))
        yield from ((file.name.removesuffix(end), read_bytes(file, most=LARGEST), str(file)) for file in found)
    elif _is_truth(path.name, end):
        yield path.name.removesuffix(end), read_bytes(path, most=LARGEST), str(path)
    elif path.exists() and not path.is_file():  # opening a pipe would wait forever
        raise DataError(f"cannot read {path}: it is not a regular file.")
    else:
        yield from _members(path, end)


def _is_truth(name: str, end: str) -> bool:
    # Archives made on a Mac hold a `._name` beside every name.
    return name.endswith(end) and name != end and not name.startswith(".")


def _members(path: Path, end: str) -> Iterator[tuple[str, bytes, str]]:
    try:
        with path.open("rb") as file, opened(file, str(path)) as archive:
            found = _truths(archive, path, end)
            _refuse_large(path, (member.file_size for member in found.values()))
            for name, member in found.items():
                source = f"{path}:{member.filename}"
                yield name.removesuffix(end), unpack(archive, member, source), source
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from None
    except zipfile.BadZipFile as error:
        problem = f"{path} is not a folder, a <domain>{end}, an intact zip of them or a packed file ({error})"
        raise DataError(f"{problem}. Name another or copy it again.") from None


def _truths(archive: zipfile.ZipFile, path: Path, end: str) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.rpartition("/")[2]
        if name in found:
            raise DataError(f"{path} holds {name} twice. Keep one of them.")
        if _is_truth(name, end):
            found[name] = member
    return found


def _refuse_large(path: Path, sizes: Iterable[int]) -> None:
    """Raise DataError, before a file is unpacked, for more than one ground truth can need."""
    if (size := sum(sizes)) > LARGEST:
        problem = f"the ground truth in {path} has {size:,} bytes, the limit is {LARGEST:,}"
        raise DataError(f"{problem}. Check that it is the right file.")
