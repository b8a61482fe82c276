"""A packed file with more domains: made anew, or with those it has already, and replaced only when whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import filelock

from decathlon.data_prep.facts import OFFICIAL_BASELINE, OFFICIAL_NAME, known_facts
from decathlon.data_prep.packing import PACKING, Packing, Prepared, pack
from decathlon.data_prep.plan import PlannedDomain
from decathlon.data_prep.statistics import Moments
from decathlon.domains import Benchmark, Domain
from decathlon.errors import BusyError, UsageError
from decathlon.official import OFFICIAL
from decathlon.packed import PackedFile


def extend(output: Path, domains: Sequence[PlannedDomain], how: Packing = PACKING, force: bool = False) -> Prepared:
    """Pack domains into the file `output`, beside those it has; it is made when it does not exist.

    `force` replaces domains of those names. Whatever fails, the file stays as it was. Raises UsageError when a
    domain is there already or its index is another one's, BusyError when another process extends the file, and
    what `pack` raises.
    """
    with held(output), _opened(output) as kept:
        others = _others(kept, domains, force)

        def describe(moments: Mapping[str, Moments]) -> Benchmark:
            new = [known_facts(domain, moments) for domain in domains]
            return _benchmark(output, kept, sorted(others + new, key=lambda domain: domain.index))

        # the file itself, not a link to it, is replaced
        return replace(pack(domains, output.resolve(), describe, how, kept), path=output)


@contextlib.contextmanager
def held(output: Path) -> Iterator[None]:
    """Keep other processes from extending a file; a block inside another one of this process changes nothing.

    Raises BusyError when one does already.
    """
    real = output.resolve()
    real.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(real.with_name(f".{real.name}.lock"), timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise BusyError(f"another process adds to {output}: wait for it and start again.") from None
    try:
        yield
    finally:
        lock.release()


def benchmark_of(output: Path) -> Benchmark | None:
    """Return the benchmark a packed file holds; None when there is no file."""
    with _opened(output) as kept:
        return None if kept is None else kept.benchmark


@contextlib.contextmanager
def _opened(output: Path) -> Iterator[PackedFile | None]:
    if output.exists():
        with PackedFile(output) as kept:
            yield kept
    else:
        yield None


def _others(kept: PackedFile | None, domains: Sequence[PlannedDomain], force: bool) -> list[Domain]:
    """Return the facts of the domains that stay."""
    new = {domain.name: domain.index for domain in domains}
    there = list(kept.benchmark) if kept else []
    others = [domain for domain in there if domain.name not in new]
    twice = [domain.name for domain in there if domain.name in new]
    if kept and twice and not force:
        raise UsageError(f"{kept.path} has a domain {twice[0]} already: choose another name, or add --force.")
    for domain in others:
        if domain.index in new.values():
            raise UsageError(f"index {domain.index} is that of {domain.name} in the file: choose another one.")
    return others


def _benchmark(output: Path, kept: PackedFile | None, domains: Sequence[Domain]) -> Benchmark:
    """Describe all domains together under the name the file had, or the official one when all are official."""
    before = kept.benchmark if kept else Benchmark(output.stem, ())
    scored = any(domain.baseline_error is not None for domain in domains)
    baseline = before.baseline or (OFFICIAL_BASELINE if scored else "")
    official = baseline == OFFICIAL_BASELINE and all(_official(domain) for domain in domains)
    return Benchmark(OFFICIAL_NAME if official else before.name, tuple(domains), baseline)


def _official(domain: Domain) -> bool:
    """Say whether a domain has the published error, which only the official images get."""
    known = OFFICIAL.get(domain.name)
    return known is not None and domain.baseline_error == known.finetune_error
