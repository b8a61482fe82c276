"""The packed file: every image of a benchmark decoded once, in one HDF5 file.

Layout, version 1. Root attributes: `format`, `version`, `digest` (over all splits), `complete` (written last).
Dataset `benchmark`: the benchmark's facts as JSON bytes. Group `/<domain>/<split>` with attributes
`digest`, over all columns, and `columns`, the digests of the columns below, one after another:

    pixels    uint8  flat RGB, height x width x 3 per image, one image after another
    offset    int64  [n+1], the position in `pixels` where image i begins
    height    uint16 [n]
    width     uint16 [n]
    label     int32  [n], position in the domain's categories; -1 where unknown
    image_id  int64  [n]

Group `/<domain>` has the attribute `packing`: how its images were packed, as JSON. No digest covers it, and
a file packed without it is read all the same.

All datasets have Fletcher32 checksums: a flipped bit is an error on reading, never a wrong pixel. Facts and digests
are compared with the file's own digest whenever it is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from decathlon.data.domains import PACKING, SPLITS, Benchmark, Packing, packing_of
from decathlon.data.packed_format import COLUMNS, IMAGES, PackedSplit, check_finished, dataset, open_hdf5, text
from decathlon.errors import DataError
from decathlon.system.checksums import combine
from decathlon.system.resources import lacks_memory, out_of_memory
from decathlon.system.schema import check
from decathlon.system.strict_json import parse_json

BLOCK = 24 << 20  # whole chunks and whole RGB pixels


class PackedFile:
    """A packed file open for reading; use it in a `with` block.

    `benchmark` holds the facts of its domains: categories, channel means and deviations in 0..1, baseline errors.
    `count(domain, split)` says how many images a split has, `images(domain, split)` yields them as uint8 arrays
    (height, width, 3), RGB.

    Raises DataError when the file is missing, not a packed file, incomplete or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path = Path(path)
        self._file = open_hdf5(path)
        self._open: dict[str, h5py.Dataset] = {}
        self._size = path.stat().st_size
        try:
            with self._reading(""):
                check_finished(self._file, path)
            facts = self._column("benchmark").tobytes()
            self.benchmark = Benchmark.from_json(parse_json(facts, f"{path}:/benchmark"), f"{path}:/benchmark")
            self._check_digest(facts)
            packed = tuple(replace(domain, packing=self._packing(domain.name)) for domain in self.benchmark)
            self.benchmark = replace(self.benchmark, domains=packed)
        except BaseException:
            self._file.close()
            raise

    def _check_digest(self, facts: bytes) -> None:
        """Refuse facts or digests other than those the file was finished with, and a lost split."""
        held = [(name, split) for name in self.benchmark.names for split in self.splits(name)]
        digests = {f"{name}/{split}": self.split_digest(name, split) for name, split in held}
        if combine({**digests, "benchmark": hashlib.sha256(facts).hexdigest()}) != self.digest:
            raise DataError(f"{self.path} does not have the digest it was packed with. Prepare it again.")
        for name, split in held:
            self._columns(name, split)

    def _columns(self, domain: str, split: str) -> dict[str, str]:
        """Return the digests of a split's columns, none from a file of an earlier release."""
        name = f"{domain}/{split}"
        with self._reading(name):
            if "columns" not in self._file[name].attrs:
                return {}
            joined = text(self._file[name], "columns")
            found = {column: joined[64 * i : 64 * i + 64] for i, column in enumerate(COLUMNS)}
            if len(joined) != 64 * len(COLUMNS) or combine(found) != self.split_digest(domain, split):
                raise ValueError("the digests of its columns are not those of the split")
        return found

    def _packing(self, domain: str) -> Packing | None:
        """Return how a domain was packed, where that was recorded."""
        with self._reading(domain):
            if domain not in self._file or "packing" not in self._file[domain].attrs:
                return None
            facts = parse_json(text(self._file[domain], "packing").encode(), f"{self.path}:/{domain}")
        check(facts, PACKING, f"{self.path}:/{domain}", "prepare it again")
        return packing_of(facts)

    @property
    def digest(self) -> str:
        """The SHA-256 over the digests of all splits: two files with equal digests hold equal benchmarks."""
        with self._reading("digest"):
            return text(self._file, "digest")

    def splits(self, domain: str) -> tuple[str, ...]:
        """Return the splits, of train, val and test, that the file holds for `domain`."""
        self.benchmark[domain]
        with self._reading(domain):
            return tuple(split for split in SPLITS if f"{domain}/{split}" in self._file)

    def split_digest(self, domain: str, split: str) -> str:
        """Return the digest written with the split when it was packed."""
        name = f"{domain}/{split}"
        with self._reading(name):
            return text(self._file[name], "digest")

    def digests(self, domain: str) -> dict[str, str]:
        """Return the digests of a domain's splits by their names and, as `facts`, that of its facts."""
        splits = {split: self.split_digest(domain, split) for split in self.splits(domain)}
        return splits | {"facts": self.benchmark[domain].digest}

    def images_digest(self, domain: str, split: str) -> str | None:
        """Return the digest of a split's images and ids, whatever their labels; None from an earlier release."""
        found = self._columns(domain, split)
        return combine({column: found[column] for column in IMAGES}) if found else None

    def copy_split(self, domain: str, split: str, target: h5py.File) -> str:
        """Copy a split as stored, checksums included, into another file; return its digest."""
        name = f"{domain}/{split}"
        with self._reading(name):
            self._file.copy(name, target.require_group(domain), split)
        return self.split_digest(domain, split)

    def count(self, domain: str, split: str) -> int:
        """Return the number of images of a split without reading them; 0 when there is no such split."""
        name = f"{domain}/{split}/image_id"
        with self._reading(name):
            return len(self._dataset(name)) if split in self.splits(domain) else 0

    def read(self, domain: str, split: str) -> PackedSplit:
        """Read one split into memory; raises DataError when it is missing or a checksum fails."""
        return PackedSplit(*(self.column(domain, split, column) for column in COLUMNS))

    def images(self, domain: str, split: str, at_once: int = 1024) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield a split's images in order as (height, width, 3), reading `at_once` at a time to save memory."""
        name = f"{domain}/{split}"
        offset, height, width = self._places(domain, split)
        for begin in range(0, len(height), at_once):
            end = min(begin + at_once, len(height))
            pixels = self._column(f"{name}/pixels", slice(int(offset[begin]), int(offset[end])))
            for i in range(begin, end):
                own = pixels[offset[i] - offset[begin] : offset[i + 1] - offset[begin]]
                yield own.reshape(int(height[i]), int(width[i]), 3)

    def images_at(self, domain: str, split: str, places: Iterable[int]) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the images at some positions of a split as (height, width, 3), reading no others."""
        offset, height, width = self._places(domain, split)
        for i in places:
            own = self.pixels(domain, split, int(offset[i]), int(offset[i + 1]))
            yield own.reshape(int(height[i]), int(width[i]), 3)

    def pixels(self, domain: str, split: str, begin: int, end: int) -> npt.NDArray[np.uint8]:
        """Read `begin` to `end` of a split's `pixels`: the values of one image."""
        name = f"{domain}/{split}/pixels"
        with self._reading(name):
            if name not in self._open:  # an open dataset caches its last chunk: the next image is cheap
                self._open[name] = self._dataset(name)
            values: npt.NDArray[np.uint8] = self._open[name][begin:end]
            return values

    def column(self, domain: str, split: str, column: str) -> npt.NDArray[Any]:
        """Read one column of a split, for example its labels; raises DataError when it is missing."""
        if split not in self.splits(domain):
            present = ", ".join(self.splits(domain)) or "nothing"
            raise DataError(f"{self.path} has no split '{split}' of {domain}, only {present}. Name one of those.")
        name = f"{domain}/{split}/{column}"
        values = self._column(name)
        most = len(self.benchmark[domain].categories)
        with self._reading(name):
            if column == "label" and len(values) and not -1 <= values.min() <= values.max() < most:
                raise ValueError(f"it has labels outside the {most} categories")
            if column != "pixels" and len(values) != self.count(domain, split) + (column == "offset"):
                raise ValueError("its length is not that of image_id")
        return values

    def _places(self, domain: str, split: str) -> tuple[npt.NDArray[Any], ...]:
        """Return the offsets, heights and widths of the images; raises DataError when they do not fit."""
        offset, height, width = (self.column(domain, split, column) for column in ("offset", "height", "width"))
        with self._reading(f"{domain}/{split}/offset"):
            sizes = 3 * height.astype(np.int64) * width
            if offset[0] or not np.array_equal(np.diff(offset), sizes):
                raise ValueError("it does not fit heights and widths")
            if offset[-1] != len(self._dataset(f"{domain}/{split}/pixels")):
                raise ValueError("it does not fit the number of pixels")
        return offset, height, width

    def blocks(self, domain: str, split: str, column: str) -> Iterator[npt.NDArray[Any]]:
        """Yield one column in order, in pieces of 24 Mi values, for splits larger than memory."""
        name = f"{domain}/{split}/{column}"
        with self._reading(name):
            length = len(self._dataset(name))
        for begin in range(0, length, BLOCK):
            yield self._column(name, slice(begin, begin + BLOCK))

    def _column(self, name: str, part: slice = slice(None)) -> npt.NDArray[Any]:
        with self._reading(name):
            values: npt.NDArray[Any] = self._dataset(name)[part]
            return values

    def _dataset(self, name: str) -> h5py.Dataset:
        return dataset(self._file, name, self._size)

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        # h5py and the code that reads from it report damage by any of these
        except (OSError, KeyError, RuntimeError, TypeError, ValueError, OverflowError) as error:
            if lacks_memory(error):  # nothing is wrong with the file
                raise out_of_memory(error, f"reading {self.path}") from None
            reason = error.args[0] if error.args else error
            problem = f"{self.path}:/{name} is damaged ({reason})"
            raise DataError(f"{problem}. Prepare the file again or copy it again.") from None

    def __enter__(self) -> PackedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
