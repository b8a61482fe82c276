"""From sources in the official layout to a packed file."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from decathlon.data.domains import Benchmark, Domain
from decathlon.data.official import OFFICIAL
from decathlon.data_prep.challenge.annotations import read_domains
from decathlon.data_prep.challenge.layout import FACTS, Source, open_source
from decathlon.data_prep.download.mirrors import known_files
from decathlon.data_prep.download.partial_file import digest_of
from decathlon.data_prep.packing.benchmark_facts import is_published, known_benchmark, known_facts
from decathlon.data_prep.packing.extend import check_output, held
from decathlon.data_prep.packing.pipeline import PACKING, Packing, Prepared, pack
from decathlon.data_prep.packing.pixel_statistics import Moments
from decathlon.data_prep.packing.plan import PlannedDomain
from decathlon.errors import DataError, VerificationError
from decathlon.system.strict_json import parse_json
from decathlon.system.text import several


def prepare(
    paths: Sequence[Path], output: Path, how: Packing = PACKING, name: str | None = None, force: bool = False,
    strict: bool = False,
) -> Prepared:  # fmt: skip
    """Pack the sources at `paths` into the file `output`, which appears only when it is whole and verified.

    `name` is the benchmark's, None to find one; with `strict`, archives must be those whose digests are known.
    Raises DataError for a bad source, UsageError when `output` exists and `force` is false, VerificationError for
    an archive that `strict` refuses, and what `pack` raises.
    """
    check_output(output, paths, force)
    source = open_source(paths)
    check_known(source.archives, strict, how.say)
    domains, warnings = read_domains(source)
    for warning in warnings:
        how.say(f"Warning: {warning}")
    total = sum(len(domain) for domain in domains)
    told = ", ".join(str(path) for path in paths)
    how.say(f"packing {total:,} images of {several(len(domains), 'domain')} from {told}")
    own = own_facts(source, domains)
    siblings = [domain.name for domain in domains if domain.name in OFFICIAL and not is_published(domain)]
    if siblings and own is None:
        how.say(
            f"Note: not the official {', '.join(siblings)}, by the numbers of images or classes: statistics are "
            "measured, and there is no baseline error."
        )

    def describe(moments: Mapping[str, Moments]) -> Benchmark:
        facts = own or known_benchmark(source.name, [known_facts(domain, moments) for domain in domains])
        return replace(facts, name=name or facts.name)

    with held(output):
        check_output(output, paths, force)  # again: another process may have written it meanwhile
        return pack(domains, output, describe, how)


def check_known(paths: Iterable[Path], strict: bool, say: Callable[[str], None]) -> None:
    """Compare archives with the digests known for files of their names.

    Another digest is a warning with both values. With `strict` it raises VerificationError, and so does an archive
    of an unknown name.
    """
    known = known_files()
    for path in paths:
        if path.name not in known:
            if strict:
                raise VerificationError(f"no digest is known for {path}: leave out --strict to use it.")
            continue
        found = digest_of(path, known[path.name].algorithm)
        if found == known[path.name].digest:
            say(f"{path} has the known {known[path.name].checked_by}")
            continue
        told = f"{path} has {known[path.name].checked_by} {found}, the known file has {known[path.name].digest}"
        if strict:
            again = f"decathlon data fetch {shlex.quote(path.name)} -o {shlex.quote(str(path.parent))} --force"
            raise VerificationError(f"{told}: get it again with '{again}'.")
        say(f"Warning: {told}.")


def own_facts(source: Source, domains: Sequence[PlannedDomain]) -> Benchmark | None:
    """Return the facts in the source's benchmark.json for the domains there are; None when it has no such file.

    Raises DataError when it lacks a domain, or has another index or other categories than the annotations.
    """
    if not source.has(FACTS):
        return None
    told = Benchmark.from_json(parse_json(source.read(FACTS), FACTS), FACTS)
    annotated = {domain.name: domain for domain in domains}
    for name in annotated:
        if name not in told.names:
            raise DataError(f"{FACTS} says nothing of domain {name}: add it there or remove its annotations.")
    kept = tuple(_agreeing(domain, annotated[domain.name]) for domain in told if domain.name in annotated)
    return replace(told, domains=kept)


def _agreeing(told: Domain, annotated: PlannedDomain) -> Domain:
    categories = tuple(sorted(told.categories, key=lambda category: category.id))
    if categories != annotated.categories:
        raise DataError(f"{FACTS}: the categories of {told.name} differ from its annotations: correct one of them.")
    if told.index != annotated.index:
        raise DataError(
            f"{FACTS}: {told.name} has index {told.index}, its ids have {annotated.index}: correct one."
        )
    return replace(told, categories=categories)
