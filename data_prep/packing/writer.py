"""Write a packed file: pixels appended as they come, digests computed on the way, `complete` set last."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import h5py
import numpy as np
import numpy.typing as npt

from decathlon.data.domains import Benchmark
from decathlon.data.packed_file import PackedFile
from decathlon.data.packed_format import COLUMNS, FORMAT, VERSION, fixed
from decathlon.data.packed_structure import CHUNK
from decathlon.data_prep.packing.decoding import Decoded
from decathlon.system.checksums import combine
from decathlon.system.strict_json import dump_json

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_CACHE = 4 << 20  # an unfinished chunk must stay in memory until it is full
# This format, readable since HDF5 1.10, also has checksums on HDF5's own structures; the older default does not.
_FORMAT_BOUNDS = ("v110", "v110")


class _Sink(io.FileIO):
    """A file that keeps a failed write in `error` and goes on: a write that fails under HDF5 ends in a crash."""

    error: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data)
        try:
            while len(view) and self.error is None:
                view = view[super().write(view) :]
        except OSError as error:
            self.error = error
        return memoryview(data).nbytes

    def truncate(self, size: int | None = None, /) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def check(self) -> None:
        """Raise the first error, if any."""
        if self.error is not None:
            raise self.error


class SplitWriter:
    """Append one split's images in order; `close` writes the other columns and sets `digest`."""

    def __init__(self, group: h5py.Group, pixels_expected: int, sink: _Sink) -> None:
        self._group = group
        self._sink = sink
        chunk = max(1, min(CHUNK, pixels_expected))
        self._pixels = group.create_dataset(
            "pixels", (0,), np.uint8, maxshape=(None,), chunks=(chunk,), fletcher32=True
        )
        self.digest = ""
        self._hash = hashlib.sha256()
        self._heights: list[npt.NDArray[np.uint16]] = []
        self._widths: list[npt.NDArray[np.uint16]] = []

    def append(self, decoded: Decoded) -> None:
        """Write the pixels of some more images; raises OSError if an earlier write failed."""
        self._sink.check()
        begin = len(self._pixels)
        self._pixels.resize((begin + len(decoded.pixels),))
        self._pixels[begin:] = np.frombuffer(decoded.pixels, np.uint8)
        self._hash.update(decoded.pixels)
        self._heights.append(decoded.height)
        self._widths.append(decoded.width)

    def close(self, labels: npt.NDArray[np.int32], image_ids: npt.NDArray[np.int64]) -> None:
        """Write every column except the pixels."""
        height, width = np.concatenate(self._heights), np.concatenate(self._widths)
        offset = np.zeros(len(height) + 1, np.int64)
        np.cumsum(3 * height.astype(np.int64) * width, out=offset[1:])
        columns: dict[str, npt.NDArray[np.generic]] = {
            "offset": offset,
            "height": height,
            "width": width,
            "label": labels,
            "image_id": image_ids,
        }
        digests = {"pixels": self._hash.hexdigest()}
        for name, values in columns.items():
            _write_column(self._group, name, values)
            digests[name] = hashlib.sha256(values.data).hexdigest()
        self.digest = combine(digests)
        joined = "".join(digests[column] for column in COLUMNS)
        self._group.attrs.update({"digest": fixed(self.digest), "columns": fixed(joined)})
        del self._pixels  # an open dataset keeps its cache


class PackWriter:
    """A packed file being written; use it in a `with` block and call `finish` last.

    Leaving the block raises OSError if anything could not be written.
    """

    def __init__(self, path: Path) -> None:
        self._sink = _Sink(path, "w+")
        self._file = h5py.File(self._sink, "w", libver=_FORMAT_BOUNDS, rdcc_nbytes=_CACHE)
        self._splits: dict[str, SplitWriter] = {}
        self._copied: dict[str, str] = {}

    def split(self, domain: str, split: str, pixels_expected: int) -> SplitWriter:
        """Begin a split; `pixels_expected` is an estimate that keeps small splits from taking a whole chunk."""
        name = f"{domain}/{split}"
        self._splits[name] = SplitWriter(self._file.create_group(name), pixels_expected, self._sink)
        return self._splits[name]

    def copy(self, kept: PackedFile, domain: str) -> None:
        """Copy a domain of another packed file unchanged, including its checksums."""
        for split in kept.splits(domain):
            name = f"{domain}/{split}"
            self._copied[name] = kept.copy_split(domain, split, self._file)

    def finish(self, benchmark: Benchmark) -> str:
        """Write the benchmark's facts, the digest over everything and the mark that the file is complete."""
        facts = dump_json(benchmark.content().to_json()).encode()
        _write_column(self._file, "benchmark", np.frombuffer(facts, np.uint8))
        for domain in benchmark:
            if domain.packing is not None:
                how = json.dumps(asdict(domain.packing))
                self._file.require_group(domain.name).attrs["packing"] = fixed(how)
        digests = self._copied | {name: split.digest for name, split in self._splits.items()}
        digest = combine({**digests, "benchmark": hashlib.sha256(facts).hexdigest()})
        self._file.attrs.update({"format": fixed(FORMAT), "version": VERSION, "digest": fixed(digest)})
        self._file.flush()
        self._file.attrs["complete"] = True
        return digest

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._sink.close()
        self._sink.check()


def _write_column(group: h5py.Group, name: str, values: npt.NDArray[np.generic]) -> None:
    chunk = max(1, min(len(values), CHUNK // values.itemsize))
    group.create_dataset(name, data=values, chunks=(chunk,), fletcher32=True)
