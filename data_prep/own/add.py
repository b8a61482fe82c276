"""A user's data set added to a packed file as one more domain, with the truth of its test images beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decathlon.data_prep.answers import answers, without_answers
from decathlon.data_prep.extend import extend, held, refuse_there
from decathlon.data_prep.own.addition import Addition
from decathlon.data_prep.own.collection import Collection
from decathlon.data_prep.own.number import plan
from decathlon.data_prep.own.place import place
from decathlon.data_prep.own.read import read_collection
from decathlon.data_prep.own.report import split_table
from decathlon.data_prep.packing import PACKING, Packing, Prepared
from decathlon.data_prep.plan import PlannedDomain
from decathlon.files import dump_json, refuse_existing, replacing
from decathlon.official import OFFICIAL
from decathlon.packed import PackedFile
from decathlon.tables import Table
from decathlon.truth import SUFFIX, truth_folder


@dataclass(frozen=True)
class Added:
    """What was packed, and a table of its splits.

    `truth` is the file with the labels of its test images, None without such; `elsewhere` names other domains with
    a test split whose labels are not beside it.
    """

    prepared: Prepared
    table: Table
    truth: Path | None
    elsewhere: tuple[str, ...]


def add(output: Path, addition: Addition, how: Packing = PACKING) -> Added:
    """Add a data set to the packed file `output`, which is made when it does not exist.

    Whatever fails, the file stays as it was. Raises UsageError for what cannot be asked, DataError for a data set
    that is wrong, BusyError when another process adds to the file, and what `pack` raises.
    """
    with held(output):
        index = _index(output, addition)
        truth = (addition.truth or truth_folder(output)) / f"{addition.name}{SUFFIX}"
        if not addition.force:
            refuse_existing(truth, "name another folder with --truth, or add --force")
        collection = read_collection(addition.source)
        for line in (f"{addition.source} is {collection.kind}", *collection.notes):
            how.say(line)
        where = place(collection, addition, how)
        domain = plan(addition.name, index, collection, where, addition.flip, addition.crop)
        tested = "test" in domain.splits
        with _appearing(truth, _answers(domain, collection, where) if tested else None):
            prepared = extend(output, [without_answers(domain)], how, addition.force)
    table = split_table(addition.name, collection, where)
    return Added(prepared, table, truth if tested else None, tuple(_elsewhere(output, truth.parent)))


def _answers(domain: PlannedDomain, collection: Collection, where: Mapping[int, str]) -> dict[str, Any]:
    """Return the annotations of the test images, with the names they have in the data set."""
    told = answers(domain)
    positions = sorted(position for position, split in where.items() if split == "test")
    for entry, position in zip(told["images"], positions, strict=True):
        entry["file_name"] = collection.names[position]
    return told


def _elsewhere(output: Path, folder: Path) -> Iterator[str]:
    with PackedFile(output) as packed:
        for name in packed.benchmark.names:
            if packed.count(name, "test") and not (folder / f"{name}{SUFFIX}").exists():
                yield name


def _index(output: Path, addition: Addition) -> int:
    """Return the index of the domain that is replaced, or the next after all in the file and the official ten."""
    refuse_there(output, [addition.name], addition.force)
    there: dict[str, int] = {}
    if output.exists():
        with PackedFile(output) as packed:
            there = {domain.name: domain.index for domain in packed.benchmark}
    return there.get(addition.name) or max([*there.values(), *(domain.index for domain in OFFICIAL.values())]) + 1


@contextlib.contextmanager
def _appearing(file: Path, document: object | None) -> Iterator[None]:
    """Write a JSON file that appears when the block ends without an error; None removes what stood there."""
    if document is None:
        yield
        file.unlink(missing_ok=True)
        return
    new = not file.parent.exists()
    try:
        with replacing(file) as part:
            part.write_text(dump_json(document), encoding="utf-8")
            yield
    except BaseException:
        if new:
            file.parent.rmdir()
        raise
