"""Add a user's data set to a packed file as one more domain, with its test labels beside it."""

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from decathlon.data.domains import SPLITS, Category
from decathlon.data.ground_truth import SUFFIX, stripped, truth_folder
from decathlon.data.official import OFFICIAL
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.challenge.layout import ANNOTATIONS
from decathlon.data_prep.custom.add_request import AddRequest
from decathlon.data_prep.custom.assign_splits import assign_splits, split_table
from decathlon.data_prep.custom.class_folders import read_folder
from decathlon.data_prep.custom.collection import Collection
from decathlon.data_prep.custom.huggingface import is_huggingface, read_huggingface
from decathlon.data_prep.custom.listings import read_annotation, read_table
from decathlon.data_prep.packing.extend import extend, held, refuse_there
from decathlon.data_prep.packing.pipeline import PACK_OPTIONS, PackOptions, Prepared
from decathlon.data_prep.packing.plan import PlannedDomain, PlannedSplit, hiding_test_labels
from decathlon.data_prep.sources.archives import is_archive
from decathlon.data_prep.sources.coco_json import ID_STEP
from decathlon.errors import DataError, UsageError
from decathlon.reports.tables import Table

FORMS = "a folder of class folders, a CSV file path,label[,split], a COCO annotation file or a Hugging Face folder"
FIRST_IMAGE = 200_000  # image ids come after it, category ids before
MOST_IMAGES = ID_STEP - FIRST_IMAGE - 1


@dataclass(frozen=True)
class Added:
    """What was packed, and a table of its splits.

    `truth` is the file with its test labels, `unlabelled` the one that lists test images without labels, each None
    if there are none; `elsewhere` names other domains with a test split whose labels are not in the same folder.
    """

    prepared: Prepared
    table: Table
    truth: Path | None
    elsewhere: tuple[str, ...]
    unlabelled: Path | None = None


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
        collection = read_collection(request.source)
        for line in (f"{request.source} is {collection.kind}", *collection.notes):
            options.say(line)
        where = assign_splits(collection, request, options)
        positions = {split: found for split in SPLITS if (found := _positions(split, collection, where))}
        domain = _plan(request, index, collection, positions)
        names = [collection.names[i] for i in positions.get("test", ())]
        bare = bool((domain.splits["test"].labels < 0).any()) if names else False
        file, stale = (stripped(truth), truth) if bare else (truth, stripped(truth))
        with hiding_test_labels(domain, output, file, names) as hidden:
            prepared = extend(output, [hidden], options, request.force)
        stale.unlink(missing_ok=True)
    table = split_table(request.name, collection, where)
    with PackedFile(output) as packed:
        tested = [name for name in packed.benchmark.names if packed.count(name, "test")]
    files = {name: truth.parent / f"{name}{SUFFIX}" for name in tested}
    elsewhere = tuple(name for name, its in files.items() if not its.exists() and not stripped(its).exists())
    written = file if names else None
    return Added(prepared, table, None if bare else written, elsewhere, written if bare else None)


def read_collection(path: Path) -> Collection:
    """Recognise the format of the data set at a path, and read it.

    Raises UsageError if nothing is there, or a format that another command reads; DataError for unknown formats
    and bad data sets.
    """
    kind = path.suffix.lower()
    if not path.exists():
        raise UsageError(f"{path} does not exist. Pass to --from {FORMS}.")
    if path.is_dir():
        if is_huggingface(path):
            return read_huggingface(path)
        if any((path / ANNOTATIONS).glob("*_train.json")):
            pack = f"decathlon data prepare {shlex.quote(str(path))} -o FILE.h5"
            raise UsageError(f"{path} is a benchmark in the official layout. Pack it with: {pack}")
        return read_folder(path)
    if kind in (".csv", ".json"):
        return read_table(path) if kind == ".csv" else read_annotation(path)
    if is_archive(path) or kind == ".zip":
        raise UsageError(f"{path} is an archive. Unpack it and pass its content.")
    raise DataError(f"{path} is not a data set. Pass to --from {FORMS}.")


def _positions(split: str, collection: Collection, place: Mapping[int, str]) -> list[int]:
    """Return the positions of a split's images in the order they are packed.

    Test images are shuffled, by a digest of their names: in class order their ids would reveal the labels.
    """
    found = sorted(position for position, its in place.items() if its == split)
    if split != "test":
        return found
    names = collection.names
    return sorted(found, key=lambda i: hashlib.sha256(names[i].encode(errors="surrogateescape")).digest())


def _plan(
    request: AddRequest, index: int, collection: Collection, positions: Mapping[str, list[int]]
) -> PlannedDomain:
    """Return the domain, numbered in the way of the official ones, from the positions of each split's images.

    Ids are `index` times 10^7 plus a class's rank, or plus 200,000 and an image's rank over train, val and test.
    Raises DataError for more images or classes than ids.
    """
    images = sum(map(len, positions.values()))
    if images > MOST_IMAGES or len(collection.classes) > FIRST_IMAGE:
        raise DataError(
            f"{request.name} has {images:,} images of {len(collection.classes):,} classes. A domain can have at "
            f"most {MOST_IMAGES:,} of {FIRST_IMAGE:,}."
        )
    categories = tuple(Category(index * ID_STEP + rank, c) for rank, c in enumerate(collection.classes, 1))
    splits: dict[str, PlannedSplit] = {}
    next_id = index * ID_STEP + FIRST_IMAGE + 1
    for split, found in positions.items():
        splits[split] = _plan_split(f"{request.name}/{split}", collection, found, next_id)
        next_id += len(found)
    return PlannedDomain(request.name, index, categories, splits, request.flip, request.crop)


def _plan_split(origin: str, collection: Collection, positions: list[int], first_id: int) -> PlannedSplit:
    ids = first_id + np.arange(len(positions))
    return PlannedSplit(origin, ids, collection.labels[positions], lambda i: collection.picture(positions[i]))


def _index(output: Path) -> int:
    """Return the next index after those in the file and of the official ten.

    A replaced domain also gets a new one: weights and predictions for its old images must not pass for those of
    the new ones.
    """
    taken = [domain.index for domain in OFFICIAL.values()]
    if output.exists():
        with PackedFile(output) as packed:
            taken += [domain.index for domain in packed.benchmark]
    return max(taken) + 1
