"""One file of ground truth: its lists are read entry by entry, and may not contradict each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from decathlon.errors import DataError
from decathlon.system.checksums import SEAL, check_seal
from decathlon.system.json_entries import Room, entries
from decathlon.system.schema import MOST, digest, find_fault

IDS_PER_DOMAIN = 10**7
IMAGES_DIGEST = "images_sha256"  # the entry for the digest of the images, as packed, that a file has the answers of
MOST_ENTRIES = 1_500_000  # of all domains together; the official ones have 360,000, and as many objects
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


def parse(name: str, text: bytes, source: str, room: Room) -> TruthDomain:
    """Return the answers in the text of a file, for which there is `room`; errors name `source`.

    Raises DataError for anything but the answers of every image, VerificationError for damage.
    """
    found, keys = _Lists(source), set()
    for key, position, entry in entries(text, source, room):
        if position < 0:
            keys.add(key)
            found.begin(key, entry)
        elif key in SHAPE:
            found.add(key, position, entry)
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
        self.ids: dict[str, Any] = {
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

    def add(self, key: Any, position: int, entry: Any) -> None:
        """Take an entry of a list; raises DataError for one of another shape, or the second of an image or id."""
        ids, answered = self.ids[key], key == "annotations"
        one: Any = None
        if type(entry) is dict:
            one = entry.get("image_id" if answered else "id")
        plain = type(one) is int and abs(one) <= MOST
        if not plain or answered and type(entry.get("category_id")) is not int:
            raise _no_truth(self.source, str(find_fault(entry, SHAPE[key][0], f"{key}[{position}]")))
        if one in ids:
            if answered:
                problem = f"{self.source} has two annotations of image {one}"
                raise DataError(f"{problem}. Keep one: an image has one category.")
            raise DataError(f"{self.source} has duplicate ids in `{key}`. {RESTORE}.")
        if answered:
            self.answers[one] = entry["category_id"]
        else:
            ids.add(one)


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
