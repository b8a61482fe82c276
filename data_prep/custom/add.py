"""Add a user's data set to a packed file as one more domain, with its test labels beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decathlon.data.ground_truth import SUFFIX, truth_folder
from decathlon.data.official import OFFICIAL
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.custom.add_request import AddRequest
from decathlon.data_prep.custom.assign_splits import assign_splits
from decathlon.data_prep.custom.collection import Collection
from decathlon.data_prep.custom.detect import read_collection
from decathlon.data_prep.custom.numbering import plan, positions_of
from decathlon.data_prep.custom.split_report import split_table
from decathlon.data_prep.packing.extend import extend, held, refuse_there
from decathlon.data_prep.packing.pipeline import PACK_OPTIONS, PackOptions, Prepared
from decathlon.data_prep.packing.plan import PlannedDomain
from decathlon.data_prep.packing.test_labels import hide_test_labels, truth_document, writing_truth
from decathlon.reports.tables import Table
from decathlon.system.files import refuse_existing


@dataclass(frozen=True)
class Added:
    """What was packed, and a table of its splits.

    `truth` is the file with its test labels, None without any; `elsewhere` names other domains with a test split
    whose labels are not in the same folder.
    """

    prepared: Prepared
    table: Table
    truth: Path | None
    elsewhere: tuple[str, ...]


def add(output: str | Path, request: AddRequest, options: PackOptions = PACK_OPTIONS) -> Added:
    """Add a data set to the packed file `output`, which is created if it does not exist.

    After any failure the file is unchanged. Raises UsageError for an impossible request, DataError for a bad data
    set, BusyError if another process adds to the file, and whatever `pack` raises.
    """
    output = Path(output)
    with held(output):
        truth = (request.truth or truth_folder(output)) / f"{request.name}{SUFFIX}"
        refuse_there(output, [request.name], request.force, truth)
        index = _index(output)
        if not request.force:
            refuse_existing(truth, "name another folder with --truth, or add --force")
        collection = read_collection(request.source)
        for line in (f"{request.source} is {collection.kind}", *collection.notes):
            options.say(line)
        where = assign_splits(collection, request, options)
        domain = plan(request.name, index, collection, where, request.flip, request.crop)
        tested = "test" in domain.splits
        with writing_truth(truth, _answers(domain, collection, where) if tested else None):
            prepared = extend(output, [hide_test_labels(domain)], options, request.force)
    table = split_table(request.name, collection, where)
    return Added(prepared, table, truth if tested else None, tuple(_elsewhere(output, truth.parent)))


def _answers(domain: PlannedDomain, collection: Collection, where: Mapping[int, str]) -> dict[str, Any]:
    """Return the annotations of the test images, with their names in the data set."""
    document = truth_document(domain)
    for entry, position in zip(document["images"], positions_of("test", collection, where), strict=True):
        entry["file_name"] = collection.names[position]
    return document


def _elsewhere(output: Path, folder: Path) -> Iterator[str]:
    with PackedFile(output) as packed:
        for name in packed.benchmark.names:
            if packed.count(name, "test") and not (folder / f"{name}{SUFFIX}").exists():
                yield name


def _index(output: Path) -> int:
    """Return the next index after those in the file and of the official ten.

    A replaced domain also gets a new one: weights and predictions for its old images must not pass for those of
    the new ones.
    """
    there: dict[str, int] = {}
    if output.exists():
        with PackedFile(output) as packed:
            there = {domain.name: domain.index for domain in packed.benchmark}
    return max([*there.values(), *(domain.index for domain in OFFICIAL.values())]) + 1
