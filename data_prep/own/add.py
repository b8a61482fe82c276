"""A user's data set added to a packed file as one more domain, with the truth of its test images beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from decathlon.data_prep.extend import benchmark_of, extend, held
from decathlon.data_prep.own.addition import Addition
from decathlon.data_prep.own.number import plan, truth
from decathlon.data_prep.own.place import place
from decathlon.data_prep.own.read import read_collection
from decathlon.data_prep.own.report import split_table
from decathlon.data_prep.packing import PACKING, Packing, Prepared
from decathlon.errors import UsageError
from decathlon.files import dump_json, refuse_existing, replacing
from decathlon.official import OFFICIAL
from decathlon.packed import PackedFile
from decathlon.tables import Table
from decathlon.truth import SUFFIX, truth_folder
from decathlon.words import several


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
        answers = (addition.truth or truth_folder(output)) / f"{addition.name}{SUFFIX}"
        if not addition.force:
            refuse_existing(answers, "name another folder with --truth, or add --force")
        collection = read_collection(addition.source)
        for line in (f"{addition.source} is {collection.kind}", *collection.notes):
            how.say(line)
        where = place(collection, addition, how)
        domain = plan(addition.name, index, collection, where, addition.flip, addition.crop)
        told = truth(domain, collection, where)
        how.say(f"packing {several(len(where), 'image')} of {several(len(domain.categories), 'class', 'classes')}")
        with _appearing(answers, told):
            prepared = extend(output, [domain], how, addition.force)
    table = split_table(addition.name, collection, where)
    return Added(prepared, table, answers if told else None, tuple(_elsewhere(output, answers.parent)))


def _elsewhere(output: Path, folder: Path) -> Iterator[str]:
    with PackedFile(output) as packed:
        for name in packed.benchmark.names:
            if packed.count(name, "test") and not (folder / f"{name}{SUFFIX}").exists():
                yield name


def _index(output: Path, addition: Addition) -> int:
    """Return the index of the domain that is replaced, or the next after all in the file and the official ten."""
    benchmark = benchmark_of(output)
    there = {domain.name: domain.index for domain in benchmark or ()}
    if addition.name in there and not addition.force:
        raise UsageError(f"{output} has a domain {addition.name} already: choose another name, or add --force.")
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
