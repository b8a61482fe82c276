"""Read a packed file from end to end: find damage, and official domains with unofficial numbers of images."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decathlon.data.domains import Domain
from decathlon.data.official import OFFICIAL, is_official
from decathlon.data.packed_file import PackedFile
from decathlon.data.packed_format import COLUMNS, size_fault
from decathlon.errors import DataError
from decathlon.system.checksums import combine
from decathlon.system.strict_json import dump_json


def problems(path: str | Path) -> list[str]:
    """Return one message per problem of the packed file; raises DataError if the file does not exist."""
    path = Path(path)
    found: list[str] = []
    try:
        with PackedFile(path) as file:
            found.extend(damage(file))
            found.extend(miscounts(file))
    except DataError as error:
        if not path.exists():
            raise
        found.append(str(error))
    return found


def miscounts(file: PackedFile) -> Iterator[str]:
    """Yield a message for each split of an official domain without the official number of images."""
    for domain in file.benchmark:
        splits = file.splits(domain.name)
        if "test" not in splits or not is_official(
            domain.name, len(domain.categories), file.count(domain.name, "test")
        ):
            continue
        for split in splits:
            count, published = file.count(domain.name, split), OFFICIAL[domain.name].count(split)
            if count != published:
                yield f"{domain.name}/{split} has {count:,} images, the official one has {published:,}."


def damage(file: PackedFile) -> Iterator[str]:
    """Yield whatever contradicts the file's own checksums, digests and facts; every byte is read."""
    digests = {"benchmark": sha256(dump_json(file.benchmark.content().to_json()).encode()).hexdigest()}
    ids: list[npt.NDArray[np.int64]] = []
    for domain in file.benchmark:
        for split in file.splits(domain.name):
            name = f"{domain.name}/{split}"
            try:
                digests[name] = file.split_digest(domain.name, split)
                columns, digest = _read_columns(file, domain.name, split)
            except DataError as error:
                yield str(error)
                continue
            if digest != digests[name]:
                yield f"{name} does not have the digest it was packed with. Prepare the file again."
            ids.append(columns["image_id"])
            yield from _contradictions(name, domain, columns)
    values, counts = np.unique(np.concatenate(ids) if ids else [], return_counts=True)
    if (counts > 1).any():
        yield f"duplicate image id {values[counts > 1][0]}. Prepare the file again."
    if combine(digests) != file.digest:
        yield f"{file.path} does not have the digest it was packed with. Prepare it again."


def _read_columns(file: PackedFile, domain: str, split: str) -> tuple[dict[str, npt.NDArray[np.int64]], str]:
    """Return every column, of the pixels only their number, and the digest of all."""
    columns: dict[str, npt.NDArray[np.int64]] = {}
    digests = {}
    for column in COLUMNS:
        digest, kept, count = sha256(), [], 0
        for block in file.blocks(domain, split, column):
            digest.update(block.data)
            count += len(block)
            kept += [] if column == "pixels" else [block.astype(np.int64)]
        digests[column] = digest.hexdigest()
        columns[column] = np.concatenate(kept) if kept else np.array([count])
    return columns, combine(digests)


def _contradictions(name: str, domain: Domain, columns: dict[str, npt.NDArray[np.int64]]) -> Iterator[str]:
    height, width, offset, label = (columns[column] for column in ("height", "width", "offset", "label"))
    if fault := size_fault(height, width):
        yield f"{name} has {fault}. Prepare the file again."
    begins = np.concatenate([[0], np.cumsum(3 * height * width)])
    if not np.array_equal(offset, begins) or offset[-1] != columns["pixels"][0]:
        yield f"{name} has offsets that do not fit its heights and widths. Prepare the file again."
    if label.min() < -1 or label.max() >= len(domain.categories):
        yield f"{name} has labels outside its {len(domain.categories)} categories. Prepare the file again."
