"""The results file of the challenge: one predicted category for every test image.

A JSON list of `{"image_id": int, "category_id": int}`; other keys of a row are ignored. A sidecar beside it,
`<stem>.protocol.json`, may record how the predictions were made and the SHA-256 of the results it belongs to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decathlon.data.ground_truth import Truth, TruthDomain
from decathlon.errors import DataError
from decathlon.scoring.protocol import protocol_path, read_protocol
from decathlon.system.checksums import seal
from decathlon.system.files import read_bytes, replacing, write_bytes
from decathlon.system.strict_json import dump_json, parse_json
from decathlon.system.text import format_value

LISTED = 10  # offenders of each kind


@dataclass(frozen=True)
class Results:
    """Predictions read from `source`: `category_ids[i]` is the answer for `image_ids[i]`."""

    source: Path
    image_ids: tuple[int, ...]
    category_ids: tuple[int, ...]
    protocol: Mapping[str, Any] | None = None


class Offences:
    """The faults in a file by kind: a count, and the first few offenders."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._listed: dict[str, list[str]] = {}

    def add(self, kind: str, offender: str) -> None:
        self._count[kind] = self._count.get(kind, 0) + 1
        listed = self._listed.setdefault(kind, [])
        if len(listed) < LISTED:
            listed.append(offender)

    def refuse(self, source: Path) -> None:
        """Raise DataError listing the first offenders of each kind, if any."""
        if not self._count:
            return
        lines = [f"{source} cannot be scored; fix the problems below."]
        for kind, count in self._count.items():
            dots = ", …" if count > LISTED else ""
            lines.append(f"  {kind} ({count:,}): {', '.join(self._listed[kind])}{dots}")
        raise DataError("\n".join(lines))


def read_results(path: str | Path) -> Results:
    """Read a results file and its sidecar: for every image id the predicted category id.

    Raises DataError for anything but a list of rows with integer ids, VerificationError when the sidecar
    belongs to other results.
    """
    path = Path(path)
    data = read_bytes(path)
    protocol = read_protocol(path, hashlib.sha256(data).hexdigest())
    image_ids, category_ids = _columns(parse_json(data, str(path)), path)
    return Results(path, image_ids, category_ids, protocol)


def write_results(
    path: Path, image_ids: Iterable[int], category_ids: Iterable[int], protocol: Mapping[str, Any]
) -> None:
    """Write predictions and, in a sidecar, the protocol with the SHA-256 of the results.

    Takes lists and integer arrays alike. Equal predictions give equal bytes.
    """
    rows = (
        f'{{"image_id":{int(image)},"category_id":{int(category)}}}'
        for image, category in zip(image_ids, category_ids, strict=True)
    )
    data = ("[\n" + ",\n".join(rows) + "\n]\n").encode()
    sealed = seal({**protocol, "results_sha256": hashlib.sha256(data).hexdigest()})
    # The sidecar is on the disk before the results appear and gets its name after them: after a crash in between,
    # the old sidecar does not match and the pair is refused.
    with replacing(protocol_path(path)) as part:
        part.write_text(dump_json(sealed), encoding="utf-8")
        write_bytes(path, data)


def check(results: Results, truth: Truth, partial: bool = False) -> tuple[str, ...]:
    """Refuse results that do not answer every image of `truth` exactly once with a category of its domain.

    With `partial`, domains without any answer are allowed. Returns the names of those domains.
    Raises DataError listing the first ten offenders of each kind.
    """
    offences = Offences()
    domain_of = {image: domain for domain in truth.domains for image in domain.answers}
    seen = _check_rows(results, truth, domain_of, offences)
    present = {domain_of[image].name for image in seen}
    missing = tuple(domain.name for domain in truth.domains if domain.name not in present)
    if not partial:
        for name in missing:
            offences.add("missing domain; predict it, or score the others with --partial and without a total", name)
    for domain in truth.domains:
        if domain.name not in missing:
            for image in sorted(domain.answers.keys() - seen):
                offences.add("missing image", f"{image} ({domain.name})")
    offences.refuse(results.source)
    return missing


def _check_rows(
    results: Results, truth: Truth, domain_of: Mapping[int, TruthDomain], offences: Offences
) -> set[int]:
    owner = {category: domain.name for domain in truth.domains for category in domain.categories}
    seen: set[int] = set()
    for image, category in zip(results.image_ids, results.category_ids, strict=True):
        domain = domain_of.get(image)
        if domain is None:
            offences.add("foreign image, not in the ground truth", format_value(image))
            continue
        answer = f"{image} ({domain.name})"
        if image in seen:
            offences.add("duplicate image", answer)
        elif category not in owner:
            offences.add("unknown category", f"{answer} as {format_value(category)}")
        elif category not in domain.categories:
            offences.add("category of another domain", f"{answer} as {category} ({owner[category]})")
        seen.add(image)
    return seen


def _columns(rows: Any, path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if not isinstance(rows, list):
        raise DataError(f'{path} is not a list. Results are a JSON list of {{"image_id": …, "category_id": …}}.')
    if not rows:
        raise DataError(f"{path} is an empty list. Name a file with predictions.")
    offences = Offences()
    for position, row in enumerate(rows, 1):
        if type(row) is not dict or "image_id" not in row or "category_id" not in row:
            offences.add("malformed row, without image_id and category_id", f"row {position}")
        elif type(row["image_id"]) is not int or type(row["category_id"]) is not int:
            key = "category_id" if type(row["image_id"]) is int else "image_id"
            offences.add("id that is not an integer", f"row {position} {key} {format_value(row[key])}")
    offences.refuse(path)
    return tuple(row["image_id"] for row in rows), tuple(row["category_id"] for row in rows)
