"""Add domains to a packed file, or start a new one."""

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import h5py

from decathlon.data.domains import Benchmark
from decathlon.data.ground_truth import stripped
from decathlon.data.official import OFFICIAL
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.packing.pipeline import PackOptions, Prepared, pack
from decathlon.data_prep.packing.pixel_statistics import Moments
from decathlon.data_prep.packing.plan import OFFICIAL_BASELINE, OFFICIAL_NAME, PlannedDomain, known_facts
from decathlon.errors import DataError, UsageError
from decathlon.system.files import refuse_existing
from decathlon.system.locks import locked
from decathlon.system.resources import writing


def extend(output: Path, domains: Sequence[PlannedDomain], options: PackOptions, force: bool) -> Prepared:
    """Pack domains into the file `output`, beside those in it; it is replaced once everything is verified.

    With `force` an existing domain is packed again. Raises UsageError for an existing domain without `force`,
    DataError if another domain has its index or `output` is not a packed file, BusyError if another process is
    extending the same file, and whatever `pack` raises.
    """
    with held(output), contextlib.ExitStack() as stack:
        kept = stack.enter_context(PackedFile(output)) if output.exists() else None
        if kept is not None:
            _refuse_clashes(kept, domains, force)
        total, names = sum(map(len, domains)), ", ".join(domain.name for domain in domains)
        beside = f", next to {', '.join(kept.benchmark.names)}" if kept else ""
        options.say(f"packing {total:,} images of {names} into {output}{beside}")

        def describe(moments: Mapping[str, Moments]) -> Benchmark:
            return extended(kept.benchmark if kept else Benchmark(output.stem, ()), domains, moments)

        # the file itself, not a link to it, is replaced
        return replace(pack(domains, output.resolve(), describe, options, kept), path=output)


def refuse_there(output: Path, names: Sequence[str], force: bool, truth: Path | None = None) -> None:
    """Raise UsageError if one of the domains is already in the file, or `truth` exists; call it before long work.

    `truth` is the file for its test labels, or the names of its test images beside it: a command killed between
    the two files leaves the domain without it.
    """
    if force:
        return
    if output.exists():
        with PackedFile(output) as kept:
            there = next((name for name in names if name in kept.benchmark.names), None)
            lost = truth is not None and not truth.exists() and not stripped(truth).exists()
            if there and lost and kept.count(there, "test"):
                raise UsageError(
                    f"{output} already has {there}, but {truth} with its test labels is missing. "
                    "Add --force to pack it again and write both."
                )
        if there:
            raise UsageError(
                f"{output} already has {there}. Choose another --name, or add --force to pack it again."
            )
    for file in () if truth is None else (truth, stripped(truth)):
        refuse_existing(file, "name another folder with --truth, or add --force")


def extended(old: Benchmark, domains: Sequence[PlannedDomain], moments: Mapping[str, Moments]) -> Benchmark:
    """Return a benchmark with more domains, in order of index; a domain replaces one of the same name.

    The benchmark keeps its name, unless it becomes the official ten.
    """
    new = [known_facts(domain, moments) for domain in domains]
    names = {domain.name for domain in new}
    all_domains = sorted([*(d for d in old if d.name not in names), *new], key=lambda domain: domain.index)
    baselines = [old.baseline] if old.baseline else []
    if any(domain.baseline_error is not None for domain in new) and OFFICIAL_BASELINE not in old.baseline:
        baselines.append(OFFICIAL_BASELINE)
    official = {domain.name for domain in all_domains if domain.baseline_error is not None} == set(OFFICIAL)
    name = OFFICIAL_NAME if official and len(all_domains) == len(OFFICIAL) else old.name
    return Benchmark(name, tuple(all_domains), "; ".join(baselines))


def _refuse_clashes(kept: PackedFile, domains: Sequence[PlannedDomain], force: bool) -> None:
    refuse_there(kept.path, [domain.name for domain in domains], force)
    there = {domain.index: domain.name for domain in kept.benchmark}
    for domain in domains:
        if there.get(domain.index, domain.name) != domain.name:
            raise DataError(
                f"{kept.path}: {there[domain.index]} has the ids of domain {domain.index}, which {domain.name} "
                "needs. Choose another file."
            )


def held(output: Path) -> AbstractContextManager[None]:
    """Hold the file's lock: of two processes extending it at once, the later would drop the earlier's domains.

    It can be nested within a process: hold it to read, plan and then `extend`.
    """
    real = output.resolve()
    with writing(output):
        real.parent.mkdir(parents=True, exist_ok=True)
    return locked(real.parent / f".{real.name}.lock", output, "is being written", inner=True)


def check_output(output: Path, sources: Sequence[Path], force: bool) -> None:
    """Raise UsageError for an output that must not be written; call it before long work.

    That is a folder, a device, one of the sources, any other kind of file, or, without `force`, an existing file.
    """
    if output.is_dir():
        raise UsageError(f"{output} is a folder. Name a file in it.")
    if any(source.exists() and output.exists() and source.samefile(output) for source in sources):
        raise UsageError(f"{output} is one of the sources. Write to another file.")
    if not force:
        refuse_existing(output, "choose another name or add --force")
    elif output.exists() and not (output.is_file() and h5py.is_hdf5(output)):
        raise UsageError(f"{output} is not a packed file, and --force replaces only those. Choose another name.")
