"""Turn planned domains into a packed file: decode the images, write, verify, rename."""

import contextlib
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import filterfalse
from pathlib import Path

from decathlon.data.domains import Benchmark, Domain, Packing
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.packing.check import damage, miscounts
from decathlon.data_prep.packing.decoding import Chunk, decode_chunk
from decathlon.data_prep.packing.pixel_statistics import Moments, measured_split
from decathlon.data_prep.packing.plan import PlannedDomain, PlannedSplit, is_published
from decathlon.data_prep.packing.workers import ordered, own_peak, workers_peak
from decathlon.data_prep.packing.writer import PackWriter
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import VerificationError
from decathlon.system.files import replacing

Say = Callable[[str], None]
Progress = Callable[[int, int], None]
Describe = Callable[[Mapping[str, Moments]], Benchmark]
SIDE = 72
_CHUNK_IMAGES = 128  # about 2 MB decoded
_CHUNK_BYTES = 32 << 20  # of encoded images in memory; a single one may be larger
_FEW_IMAGES = 1_500  # faster to decode than to start worker processes


@dataclass(frozen=True)
class PackOptions:
    """How to pack: shorter `side` in pixels; number of `workers`, None for one per core.

    `say` gets lines for the user, `progress` the numbers of images done and in total. `enlarge` enlarges images
    below `side` to it; `upright` rotates images by their orientation tags.
    """

    side: int = SIDE
    workers: int | None = None
    say: Say = lambda line: None
    progress: Progress = lambda done, total: None
    enlarge: bool = False
    upright: bool = False


PACK_OPTIONS = PackOptions()


@dataclass(frozen=True)
class Prepared:
    """What was packed; `memory` is the sum of the peaks of this process and its workers, in bytes."""

    path: Path
    images: int
    digest: str
    memory: int


def pack(
    domains: Sequence[PlannedDomain], output: Path, describe: Describe, options: PackOptions,
    kept: PackedFile | None = None,
) -> Prepared:  # fmt: skip
    """Pack domains into the file `output`, beside those of the file `kept`; it appears complete and verified.

    `describe` returns the benchmark's facts from the measured moments of domains without published ones. Raises
    DataError for a bad image, ResourceError if the file cannot be written, VerificationError if the disk returns
    other bytes than were written.
    """
    with replacing(output) as part:  # unreadable images raise DataError already
        digest, workers = _write(part, domains, describe, options, kept)
        options.say("verifying")
        _verify(part, digest, kept, options.say)
    return Prepared(output, sum(len(domain) for domain in domains), digest, own_peak() + workers)


def _write(
    part: Path, domains: Sequence[PlannedDomain], describe: Describe, options: PackOptions, kept: PackedFile | None
) -> tuple[str, int]:
    """Write the file; return its digest and the peak memory of the worker processes in bytes."""
    splits = [(domain, name, split) for domain in domains for name, split in domain.splits.items()]
    total, done = sum(len(split) for _, _, split in splits), 0
    # Only domains without published statistics are measured, on the split that `decathlon data stats` uses.
    moments = {domain.name: Moments() for domain in domains if not is_published(domain)}
    pieces = chunks((split for _, _, split in splits), options)
    with (
        contextlib.closing(ordered(decode_chunk, pieces, worker_count(options, total))) as results,
        PackWriter(part) as writer,
    ):
        if kept is not None:
            new = {domain.name for domain in domains}
            for other in filterfalse(new.__contains__, kept.benchmark.names):
                writer.copy(kept, other)
        for domain, name, split in splits:
            measured = moments.get(domain.name) if name == measured_split(domain.splits) else None
            out = writer.split(domain.name, name, len(split) * options.side**2 * 3)
            end = done + len(split)
            while done < end:
                decoded = next(results)
                out.append(decoded)
                done += len(decoded.height)
                options.progress(done, total)
                if measured is not None:
                    measured.add(decoded.pixels)
            out.close(split.labels, split.image_ids)
        return writer.finish(_packed(describe(moments), domains, options)), workers_peak()


def _packed(benchmark: Benchmark, domains: Sequence[PlannedDomain], options: PackOptions) -> Benchmark:
    """Return the facts with how the new domains were packed; those that were exported keep how they were before."""
    how, names = Packing(options.side, options.enlarge, options.upright), {domain.name for domain in domains}

    def packed(domain: Domain) -> Domain:
        before = domain.packing or how
        return replace(domain, packing=replace(before, side=min(before.side, how.side)))

    return replace(benchmark, domains=tuple(packed(d) if d.name in names else d for d in benchmark))


def chunks(splits: Iterable[PlannedSplit], options: PackOptions) -> Iterator[Chunk]:
    """Yield the images of the splits in order, in chunks."""
    for split in splits:
        for part in _light(map(split.picture, range(len(split)))):
            yield Chunk(split.origin, part, options.side, options.enlarge, options.upright)


def _light(pictures: Iterable[Picture]) -> Iterator[tuple[Picture, ...]]:
    """Yield pictures in parts small enough to send to a worker: a few large ones fill pipe and memory."""
    part: list[Picture] = []
    held = 0
    for picture in pictures:
        if len(part) == _CHUNK_IMAGES or (part and held + picture.held > _CHUNK_BYTES):
            yield tuple(part)
            part, held = [], 0
        part.append(picture.packed())
        held += picture.held
    yield tuple(part)


def worker_count(options: PackOptions, images: int) -> int:
    """Return the number of processes to decode this many images."""
    return options.workers or (1 if images < _FEW_IMAGES else os.cpu_count() or 1)


def _verify(part: Path, digest: str, kept: PackedFile | None, say: Say) -> None:
    with PackedFile(part) as file:
        found = list(damage(file))
        if found and kept is not None and any(damage(kept)):
            where = f"decathlon data check {shlex.quote(str(kept.path))}"
            raise VerificationError(f"{kept.path} is damaged. Prepare it again; for details run: {where}")
        if found or file.digest != digest:
            first = found[0].replace(str(part), "the file") if found else "its digest differs"
            raise VerificationError(
                f"the file does not read back as written ({first}). Check the disk and prepare again."
            )
        for line in miscounts(file):
            say(f"Warning: {line}")
