"""From planned domains to a packed file: decode the images, write, verify, rename."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from decathlon.data.domains import Benchmark
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.packing.benchmark_facts import is_published
from decathlon.data_prep.packing.check import damage, miscounts
from decathlon.data_prep.packing.decoding import Chunk, Decoded, decode_chunk
from decathlon.data_prep.packing.pixel_statistics import Moments, measured_split
from decathlon.data_prep.packing.plan import PlannedDomain, PlannedSplit
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
_CHUNK_BYTES = 32 << 20  # of image files in memory; one may be larger
_FEW_IMAGES = 1_500  # decoded sooner than worker processes start


@dataclass(frozen=True)
class Packing:
    """How to pack: shorter `side` in pixels; `workers`, None for one a core; who hears of it.

    `say` gets lines for the user, `progress` the numbers of images done and in all. With `enlarge` images smaller
    than `side` are resized to it, too, with `upright` turned as their orientation tags say.
    """

    side: int = SIDE
    workers: int | None = None
    say: Say = lambda line: None
    progress: Progress = lambda done, total: None
    enlarge: bool = False
    upright: bool = False


PACKING = Packing()


@dataclass(frozen=True)
class Prepared:
    """What was packed; `memory`: bytes that this process and its workers held at most, each at its own time."""

    path: Path
    images: int
    digest: str
    memory: int


def pack(
    domains: Sequence[PlannedDomain], output: Path, describe: Describe, how: Packing, kept: PackedFile | None = None
) -> Prepared:
    """Pack domains into the file `output`, beside those of the file `kept`; it appears when whole and verified.

    `describe` returns the benchmark's facts, from the measured moments of those domains that nobody published.
    Raises DataError for a bad image, ResourceError where the file cannot be written, VerificationError when the
    disk gave back other bytes than were written.
    """
    with replacing(output) as part:  # what cannot be read is a DataError already
        digest, workers = _write(part, domains, describe, how, kept)
        how.say("verifying")
        _verify(part, digest, kept, how.say)
    return Prepared(output, sum(len(domain) for domain in domains), digest, own_peak() + workers)


def _write(
    part: Path, domains: Sequence[PlannedDomain], describe: Describe, how: Packing, kept: PackedFile | None
) -> tuple[str, int]:
    """Write the file; return its digest and the bytes that worker processes held at most."""
    splits = [(domain, name, split) for domain in domains for name, split in domain.splits.items()]
    total, done = sum(len(split) for _, _, split in splits), 0
    # Only what nobody published is measured, over the split that `decathlon data stats` measures too.
    moments = {domain.name: Moments() for domain in domains if not is_published(domain)}
    pieces = chunks((split for _, _, split in splits), how)
    with (
        contextlib.closing(ordered(decode_chunk, pieces, worker_count(how, total))) as results,
        PackWriter(part) as writer,
    ):
        if kept is not None:
            for other in _others(kept, domains):
                writer.copy(kept, other)
        for domain, name, split in splits:
            measured = moments.get(domain.name) if name == measured_split(domain.splits) else None
            out = writer.split(domain.name, name, len(split) * how.side**2 * 3)
            end = done + len(split)
            while done < end:
                decoded = next(results)
                out.append(decoded)
                done += len(decoded.height)
                how.progress(done, total)
                _measure(measured, decoded)
            out.close(split.labels, split.image_ids)
        return writer.finish(describe(moments)), workers_peak()


def _others(kept: PackedFile, domains: Sequence[PlannedDomain]) -> list[str]:
    """Return the domains of a packed file that are not packed anew."""
    new = {domain.name for domain in domains}
    return [name for name in kept.benchmark.names if name not in new]


def _measure(measured: Moments | None, decoded: Decoded) -> None:
    if measured is not None:
        measured.add(decoded.pixels)


def chunks(splits: Iterable[PlannedSplit], how: Packing) -> Iterator[Chunk]:
    """Yield every image of the splits in order, some at a time."""
    for split in splits:
        for begin in range(0, len(split), _CHUNK_IMAGES):
            pictures = split.pictures(begin, min(begin + _CHUNK_IMAGES, len(split)))
            for part in _light(pictures):
                yield Chunk(split.origin, part, how.side, how.enlarge, how.upright)


def _light(pictures: Sequence[Picture]) -> Iterator[tuple[Picture, ...]]:
    """Yield pictures in parts that workers can be sent: a few large ones fill a pipe, and memory."""
    part: list[Picture] = []
    held = 0
    for picture in pictures:
        if part and held + picture.held > _CHUNK_BYTES:
            yield tuple(part)
            part, held = [], 0
        part.append(picture.packed())
        held += picture.held
    yield tuple(part)


def worker_count(how: Packing, images: int) -> int:
    """Return how many processes decode so many images."""
    return how.workers or (1 if images < _FEW_IMAGES else os.cpu_count() or 1)


def _verify(part: Path, digest: str, kept: PackedFile | None, say: Say) -> None:
    with PackedFile(part) as file:
        found = list(damage(file))
        if found and kept is not None and any(damage(kept)):
            where = f"decathlon data check {shlex.quote(str(kept.path))}"
            raise VerificationError(f"{kept.path} is damaged: '{where}' says where; prepare it again.")
        if found or file.digest != digest:
            first = found[0].replace(str(part), "the file") if found else "its digest is another one"
            raise VerificationError(
                f"what was written does not read back ({first}): check the disk and prepare again."
            )
        for line in miscounts(file):
            say(f"Warning: {line}")
