"""Ground truth: the category of every image of a split, in annotation files of the challenge or in a packed file.

A file is named `<domain>_test.json` or `<domain>_val.json` and holds `images`, `annotations` and `categories`;
other keys and other files are ignored. A zip is read in place, nothing is extracted.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from decathlon.data.zips import opened, unpack
from decathlon.errors import DataError, UsageError
from decathlon.system.checksums import SEAL, check_seal
from decathlon.system.files import read_bytes
from decathlon.system.json_entries import entries
from decathlon.system.schema import MOST, digest, find_fault

IDS_PER_DOMAIN = 10**7
SUFFIX = "_test.json"
STRIPPED = "_test_stripped.json"  # test images without their answers
Split = Literal["test", "val"]  # what can be predicted and scored
HDF5 = b"\x89HDF\r\n\x1a\n"  # how a packed file begins
IMAGES_DIGEST = "images_sha256"  # the entry for the digest of the images, as packed, that a file has the answers of
LARGEST_MEMBER = 200 * 2**20  # bytes unpacked; the largest official file has 10 MB
MOST_ENTRIES = 1_500_000  # of all domains together; the official ones have 360,000
RESTORE = "Restore a copy or add the domain again"
SHAPE = {
    "images": [{"id": int}],
    "annotations": [{"image_id": int, "category_id": int}],
    "categories": [{"id": int}],
}
DIGEST = {IMAGES_DIGEST: (digest, None)}


@dataclass(frozen=True)
class TruthDomain:
    """One domain's answers: `answers` maps every image's id to the id of its category.

    `images` is the SHA-256 of ids and pixels of the images, as they were packed; None where it is unknown.
    """

    name: str
    categories: frozenset[int]
    answers: Mapping[int, int]
    images: str | None = None

    @property
    def majority(self) -> float:
        """The fraction of the images that show the most frequent category."""
        return max(Counter(self.answers.values()).values()) / len(self.answers)

    @property
    def index(self) -> int:
        """The domain's rank in its benchmark, as its category ids start with it."""
        return min(self.categories) // IDS_PER_DOMAIN


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
        domains = []
        for name, text, source in documents(path, named):
            room = MOST_ENTRIES - sum(2 * len(domain.answers) for domain in domains)
            domains.append(_domain(name, text, source, room))
        if not domains:
            fix = "Name the folder or zip with the ground truth"
            fix = "Name the packed file, which has those labels" if named == "val" else fix
            raise DataError(f"{path} holds no <domain>{suffix(named)}. {fix}.")
    domains.sort(key=lambda domain: (domain.index, domain.name))
    _refuse_shared_ids(path, domains)
    return Truth(path, tuple(domains), named)


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


def _domain(name: str, text: bytes, source: str, room: int) -> TruthDomain:
    found, keys = _Lists(source), set()
    for number, (key, position, entry) in enumerate(entries(text, source)):
        if number > room:
            raise DataError(f"{source} exceeds the {MOST_ENTRIES:,} entries ground truth may have. {RESTORE}.")
        if position < 0:
            keys.add(key)
            found.begin(key, entry)
        elif key in SHAPE:
            found.add(str(key), position, entry)
    check_seal(text, SEAL in keys, source, RESTORE)
    for key in SHAPE:
        if key not in keys or not found.ids[key]:
            raise _no_truth(source, f"{key} is {'empty' if key in keys else 'missing'}")
    _refuse_contradictions(found)
    return TruthDomain(name, frozenset(found.ids["categories"]), found.answers, found.images)


class _Lists:
    """What the lists of a file hold, gathered entry by entry: the ids in each, and the category of every image."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.images: str | None = None
        self.answers: dict[int, int] = {}
        self.ids: dict[str, Collection[int]] = {
            "images": set(),
            "categories": set(),
            "annotations": self.answers,
        }

    def begin(self, key: str | None, value: Any) -> None:
        """Take an empty list, or what stands in its place; raises DataError for anything else under a known key."""
        shape = SHAPE if key is None else {key: (SHAPE | DIGEST).get(key, object)}
        if fault := find_fault(value if key is None else {key: value}, shape):
            raise _no_truth(self.source, fault)
        if key == IMAGES_DIGEST:
            self.images = value

    def add(self, key: str, position: int, entry: Any) -> None:
        """Take an entry of a list; raises DataError for one of another shape, or the second of an image or id."""
        ids = self.ids[key]
        one: Any = None
        if type(entry) is dict:
            one = entry.get("image_id" if key == "annotations" else "id")
        plain = type(one) is int and abs(one) <= MOST
        if not plain or key == "annotations" and type(entry.get("category_id")) is not int:
            raise _no_truth(self.source, str(find_fault(entry, SHAPE[key][0], f"{key}[{position}]")))
        if one in ids and key == "annotations":
            problem = f"{self.source} has two annotations of image {one}"
            raise DataError(f"{problem}. Keep one: an image has one category.")
        if one in ids:
            raise DataError(f"{self.source} has duplicate ids in `{key}`. {RESTORE}.")
        if isinstance(ids, set):
            ids.add(one)
        else:
            self.answers[one] = entry["category_id"]


def _refuse_contradictions(found: _Lists) -> None:
    answers, images, categories = found.answers, found.ids["images"], found.ids["categories"]
    reason = None
    for image, category in answers.items():
        if category not in categories:
            reason = f"image {image} is in category {category}, which is not in `categories`"
            break
    if reason is None and answers.keys() != images:
        image = min(answers.keys() ^ images)
        reason = f"image {image} has no annotation" if image in images else f"image {image} is not in `images`"
    if reason:
        raise DataError(f"{found.source} contradicts itself: {reason}. {RESTORE}.")


def _no_truth(source: str, fault: str) -> DataError:
    fix = "Name a file with images, annotations and categories; one with 'stripped' in its name has no answers."
    return DataError(f"{source} is not ground truth ({fault}). {fix}")


def check_stripped(path: Path) -> None:
    """Read a file of test images without answers to its end; raises DataError, or VerificationError for damage."""
    text = read_bytes(path, most=LARGEST_MEMBER)
    keys = {key for key, _, _ in entries(text, str(path))}
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
        yield from (
            (file.name.removesuffix(end), read_bytes(file, most=LARGEST_MEMBER), str(file)) for file in found
        )
    elif _is_truth(path.name, end):
        yield path.name.removesuffix(end), read_bytes(path, most=LARGEST_MEMBER), str(path)
    elif path.exists() and not path.is_file():  # opening a pipe would wait forever
        raise DataError(f"cannot read {path}: it is not a regular file.")
    else:
        yield from _members(path, end)


def _is_truth(name: str, end: str) -> bool:
    # Archives made on a Mac hold a `._name` beside every name.
    return name.endswith(end) and name != end and not name.startswith(".")


def _members(path: Path, end: str) -> Iterator[tuple[str, bytes, str]]:
    try:
        with path.open("rb") as file, opened(file) as archive:
            for name, member in _truths(archive, path, end).items():
                source = f"{path}:{member.filename}"
                yield name.removesuffix(end), _unpack(archive, member, source), source
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


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, source: str) -> bytes:
    if member.file_size > LARGEST_MEMBER:
        problem = f"{source} unpacks to {member.file_size:,} bytes, the limit is {LARGEST_MEMBER:,}"
        raise DataError(f"{problem}. If it is genuine, unpack it yourself and name the folder.")
    return unpack(archive, member)
