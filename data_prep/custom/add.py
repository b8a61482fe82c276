"""A user's data set added to a packed file as one more domain, with the truth of its test images beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decathlon.data.ground_truth import SUFFIX, truth_folder
from decathlon.data.official import OFFICIAL
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.custom.add_request import Addition
from decathlon.data_prep.custom.assign_splits import place
from decathlon.data_prep.custom.collection import Collection
from decathlon.data_prep.custom.detect import read_collection
from decathlon.data_prep.custom.numbering import plan, positions_of
from decathlon.data_prep.custom.split_report import split_table
from decathlon.data_prep.packing.extend import extend, held, refuse_there
from decathlon.data_prep.packing.pipeline import PACKING, Packing, Prepared
from decathlon.data_prep.packing.plan import PlannedDomain
from decathlon.data_prep.packing.test_labels import answers, answers_appearing, without_answers
from decathlon.reports.tables import Table
from decathlon.system.files import refuse_existing


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


def add(output: str | Path, addition: Addition, how: Packing = PACKING) -> Added:
    """Add a data set to the packed file `output`, which is made when it does not exist.

    Whatever fails, the file stays as it was. Raises UsageError for what cannot be asked, DataError for a data set
    that is wrong, BusyError when another process adds to the file, and what `pack` raises.
    """
    output = Path(output)
    with held(output):
        truth = (addition.truth or truth_folder(output)) / f"{addition.name}{SUFFIX}"
        refuse_there(output, [addition.name], addition.force, truth)
        index = _index(output)
        if not addition.force:
            refuse_existing(truth, "name another folder with --truth, or add --force")
        collection = read_collection(addition.source)
        for line in (f"{addition.source} is {collection.kind}", *collection.notes):
            how.say(line)
        where = place(collection, addition, how)
        domain = plan(addition.name, index, collection, where, addition.flip, addition.crop)
        tested = "test" in domain.splits
        with answers_appearing(truth, _answers(domain, collection, where) if tested else None):
            prepared = extend(output, [without_answers(domain)], how, addition.force)
    table = split_table(addition.name, collection, where)
    return Added(prepared, table, truth if tested else None, tuple(_elsewhere(output, truth.parent)))


def _answers(domain: PlannedDomain, collection: Collection, where: Mapping[int, str]) -> dict[str, Any]:
    """Return the annotations of the test images, with the names they have in the data set."""
    told = answers(domain)
    for entry, position in zip(told["images"], positions_of("test", collection, where), strict=True):
        entry["file_name"] = collection.names[position]
    return told


def _elsewhere(output: Path, folder: Path) -> Iterator[str]:
    with PackedFile(output) as packed:
        for name in packed.benchmark.names:
            if packed.count(name, "test") and not (folder / f"{name}{SUFFIX}").exists():
                yield name


def _index(output: Path) -> int:
    """Return the next index after all in the file and the official ten.

    A domain that is replaced gets a new one, too: what was learned from or predicted for its old images must not
    pass for that of the new ones.
    """
    there: dict[str, int] = {}
    if output.exists():
        with PackedFile(output) as packed:
            there = {domain.name: domain.index for domain in packed.benchmark}
    return max([*there.values(), *(domain.index for domain in OFFICIAL.values())]) + 1
