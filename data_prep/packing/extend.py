"""A packed file with more domains: a new one, or one that exists and keeps what it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import h5py

from decathlon.data.domains import Benchmark
from decathlon.data.official import OFFICIAL
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.packing.benchmark_facts import OFFICIAL_BASELINE, OFFICIAL_NAME, known_facts
from decathlon.data_prep.packing.pipeline import Packing, Prepared, pack
from decathlon.data_prep.packing.pixel_statistics import Moments
from decathlon.data_prep.packing.plan import PlannedDomain
from decathlon.errors import DataError, UsageError
from decathlon.system.files import refuse_existing
from decathlon.system.locks import locked
from decathlon.system.resources import writing


def extend(output: Path, domains: Sequence[PlannedDomain], how: Packing, force: bool) -> Prepared:
    """Pack domains into the file `output`, beside those that it holds already; it is replaced when all is verified.

    With `force` a domain that is there is packed anew. Raises UsageError when it is there without `force`,
    DataError when another domain has its index or `output` is no packed file, BusyError when another process is
    extending the same file, and what `pack` raises.
    """
    with held(output), contextlib.ExitStack() as stack:
        kept = stack.enter_context(PackedFile(output)) if output.exists() else None
        if kept is not None:
            _refuse_clashes(kept, domains, force)
        total = sum(len(domain) for domain in domains)
        beside = f", which holds {', '.join(kept.benchmark.names)}" if kept else ""
        how.say(f"packing {total:,} images of {', '.join(domain.name for domain in domains)} into {output}{beside}")

        def describe(moments: Mapping[str, Moments]) -> Benchmark:
            return extended(kept.benchmark if kept else Benchmark(output.stem, ()), domains, moments)

        # the file itself, not a link to it, is replaced
        return replace(pack(domains, output.resolve(), describe, how, kept), path=output)


def refuse_there(output: Path, names: Sequence[str], force: bool, truth: Path | None = None) -> None:
    """Raise UsageError when one of the domains is in the file already: to be asked before long work.

    `truth` is where its test labels should be: one that was killed between the two files left the domain alone.
    """
    if force or not output.exists():
        return
    with PackedFile(output) as kept:
        there = [name for name in names if name in kept.benchmark.names]
        if not there:
            return
        alone = truth is not None and kept.count(there[0], "test") > 0 and not truth.exists()
    if alone:
        raise UsageError(
            f"{output} holds {there[0]} already, without the labels of its test images in {truth}: "
            "--force packs it anew and writes both."
        )
    raise UsageError(f"{output} holds {there[0]} already: choose another file, or --force to pack it anew.")


def extended(old: Benchmark, domains: Sequence[PlannedDomain], moments: Mapping[str, Moments]) -> Benchmark:
    """Return a benchmark with more domains, in order of index; those of a name that is there replace it.

    It keeps its name, unless it then is the official ten.
    """
    new = [known_facts(domain, moments) for domain in domains]
    names = {domain.name for domain in new}
    all_domains = sorted([*(d for d in old if d.name not in names), *new], key=lambda domain: domain.index)
    told = [old.baseline] if old.baseline else []
    if any(domain.baseline_error is not None for domain in new) and OFFICIAL_BASELINE not in old.baseline:
        told.append(OFFICIAL_BASELINE)
    official = {domain.name for domain in all_domains if domain.baseline_error is not None} == set(OFFICIAL)
    name = OFFICIAL_NAME if official and len(all_domains) == len(OFFICIAL) else old.name
    return Benchmark(name, tuple(all_domains), "; ".join(told))


def _refuse_clashes(kept: PackedFile, domains: Sequence[PlannedDomain], force: bool) -> None:
    refuse_there(kept.path, [domain.name for domain in domains], force)
    there = {domain.index: domain.name for domain in kept.benchmark}
    for domain in domains:
        if there.get(domain.index, domain.name) != domain.name:
            raise DataError(
                f"{kept.path}: {there[domain.index]} has the ids of domain {domain.index}, which {domain.name} "
                "needs: choose another file."
            )


def held(output: Path) -> AbstractContextManager[None]:
    """Hold the file's lock: of two that extend it at once, the later would drop what the earlier added.

    A block inside another one of the same process changes nothing: hold it to read, plan and then `extend`.
    """
    real = output.resolve()
    with writing(output):
        real.parent.mkdir(parents=True, exist_ok=True)
    return locked(real.parent / f".{real.name}.lock", output, "is being written", inner=True)


def check_output(output: Path, sources: Sequence[Path], force: bool) -> None:
    """Raise UsageError for an output that must not be written, before long work.

    It is a folder, a device, one of the sources, something else than a packed file, or, without `force`, there.
    """
    if output.is_dir():
        raise UsageError(f"{output} is a folder: name a file in it.")
    if any(source.exists() and output.exists() and source.samefile(output) for source in sources):
        raise UsageError(f"{output} is what is read: write to another file.")
    if not force:
        refuse_existing(output, "choose another name or add --force")
    elif output.exists() and not (output.is_file() and h5py.is_hdf5(output)):
        raise UsageError(f"{output} is no packed file, and --force replaces only those: choose another name.")
