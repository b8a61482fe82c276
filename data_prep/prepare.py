"""From a source to a packed file: read the annotations, decode the images, write, verify, rename."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from decathlon.data_prep.annotations import AnnotatedDomain, read_domains
from decathlon.data_prep.check import damage, miscounts
from decathlon.data_prep.coco import AnnotationFile
from decathlon.data_prep.facts import is_published, known_benchmark, known_facts, own_facts
from decathlon.data_prep.images import Chunk, Decoded, decode_chunk
from decathlon.data_prep.pack import PackWriter
from decathlon.data_prep.source import Source, open_source
from decathlon.data_prep.statistics import Moments, measured_split
from decathlon.data_prep.workers import ordered
from decathlon.errors import DecathlonError, VerificationError
from decathlon.files import refuse_existing, replacing
from decathlon.packed import PackedFile
from decathlon.words import several

Progress = Callable[[int, int], None]
SIDE = 72
_CHUNK_IMAGES = 128  # about 2 MB decoded
_FEW_IMAGES = 1_500  # decoded sooner than worker processes start


@dataclass(frozen=True)
class Prepared:
    """What was packed."""

    path: Path
    images: int
    digest: str


@dataclass(frozen=True)
class Options:
    """`name` of the benchmark, None to find one; shorter `side` in pixels; `workers`, None for one a core."""

    name: str | None = None
    side: int = SIDE
    workers: int | None = None
    force: bool = False


def prepare(
    path: Path,
    output: Path,
    options: Options,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda done, total: None,
) -> Prepared:
    """Pack the source at `path` into the file `output`, which appears only when it is whole and verified.

    `say` gets lines for the user, `progress` the numbers of images done and in all. Raises DataError for a bad
    source, UsageError when `output` exists and `options.force` is false, VerificationError when the disk gave back
    other bytes than were written.
    """
    if not options.force:
        refuse_existing(output, "choose another name or add --force")
    try:
        with open_source(path, output.absolute().parent) as source:
            return _prepare(path, source, output, options, say, progress)
    except OSError as error:  # what cannot be read is a DataError already
        reason = error.strerror or str(error)
        raise DecathlonError(
            f"cannot write {output} ({reason}): free some space or choose another place."
        ) from None


def _prepare(
    path: Path, source: Source, output: Path, options: Options, say: Callable[[str], None], progress: Progress
) -> Prepared:
    domains, warnings = read_domains(source)
    for warning in warnings:
        say(f"Warning: {warning}")
    total = sum(sum(domain.counts.values()) for domain in domains)
    say(f"packing {total:,} images of {several(len(domains), 'domain')} from {path}")
    with replacing(output) as part:
        digest = _write(part, source, domains, options, progress)
        say("verifying")
        _verify(part, digest, say)
    return Prepared(output, total, digest)


def _write(
    part: Path, source: Source, domains: Sequence[AnnotatedDomain], options: Options, progress: Progress
) -> str:
    own = own_facts(source, domains)
    splits = [(domain, name, split) for domain in domains for name, split in domain.splits.items()]
    total, done = sum(len(split) for _, _, split in splits), 0
    # Only what nobody published is measured, over the split that `decathlon data stats` measures too.
    moments = {domain.name: Moments() for domain in domains if own is None and not is_published(domain)}
    chunks = _chunks(source, (split for _, _, split in splits), options.side)
    with (
        contextlib.closing(ordered(decode_chunk, chunks, _workers(options, total))) as results,
        PackWriter(part) as writer,
    ):
        for domain, name, split in splits:
            measured = moments.get(domain.name) if name == measured_split(domain.splits) else None
            out = writer.split(domain.name, name, len(split) * options.side**2 * 3)
            for decoded in islice(results, -(-len(split) // _CHUNK_IMAGES)):
                out.append(decoded)
                done += len(decoded.height)
                progress(done, total)
                _measure(measured, decoded)
            out.close(split.labels, split.image_ids)
        benchmark = own or known_benchmark(source.name, [known_facts(domain, moments) for domain in domains])
        return writer.finish(replace(benchmark, name=options.name or benchmark.name))


def _measure(measured: Moments | None, decoded: Decoded) -> None:
    if measured is not None:
        measured.add(decoded.pixels)


def _chunks(source: Source, splits: Iterable[AnnotationFile], side: int) -> Iterator[Chunk]:
    for split in splits:
        for begin in range(0, len(split), _CHUNK_IMAGES):
            yield Chunk(source, split.origin, split.files[begin : begin + _CHUNK_IMAGES], side)


def _workers(options: Options, images: int) -> int:
    return options.workers or (1 if images < _FEW_IMAGES else os.cpu_count() or 1)


def _verify(part: Path, digest: str, say: Callable[[str], None]) -> None:
    with PackedFile(part) as file:
        found = list(damage(file))
        if found or file.digest != digest:
            first = found[0] if found else "its digest is another one"
            raise VerificationError(
                f"what was written does not read back ({first}): check the disk and prepare again."
            )
        for line in miscounts(file):
            say(f"Warning: {line}")
