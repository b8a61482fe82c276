"""Pack sources in the official layout into one file."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from decathlon.data.domains import Benchmark, Domain
from decathlon.data.official import OFFICIAL
from decathlon.data.packed_file import MOST_FACTS
from decathlon.data_prep.challenge.annotations import read_domains
from decathlon.data_prep.challenge.layout import FACTS, Source, open_source
from decathlon.data_prep.download.mirrors import known_files
from decathlon.data_prep.download.partial_file import digest_of
from decathlon.data_prep.packing.extend import check_output, held
from decathlon.data_prep.packing.pipeline import PACK_OPTIONS, PackOptions, Prepared, pack
from decathlon.data_prep.packing.pixel_statistics import Moments
from decathlon.data_prep.packing.plan import PlannedDomain, is_published, known_benchmark, known_facts
from decathlon.errors import DataError, VerificationError
from decathlon.system.strict_json import parse_json
from decathlon.system.text import several


def prepare(
    paths: str | Path | Sequence[str | Path], output: str | Path, options: PackOptions = PACK_OPTIONS,
    name: str | None = None,
    force: bool = False, strict: bool = False,
) -> Prepared:  # fmt: skip
    """Pack the sources at `paths` into the file `output`, which appears only when complete and verified.

    `name` is that of the benchmark, None for the source's; `strict` requires archives with known digests. Raises
    DataError for a bad source, UsageError if `output` exists and `force` is false, VerificationError for an archive
    that `strict` refuses, and whatever `pack` raises.
    """
    output, sources = Path(output), [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    check_output(output, sources, force)
    source = open_source(sources)
    check_known(source.archives, strict, options.say)
    domains, warnings = read_domains(source)
    for warning in warnings:
        options.say(f"Warning: {warning}")
    total = sum(len(domain) for domain in domains)
    names = ", ".join(str(path) for path in sources)
    options.say(f"packing {total:,} images of {several(len(domains), 'domain')} from {names}")
    own = own_facts(source, domains)
    siblings = [domain.name for domain in domains if domain.name in OFFICIAL and not is_published(domain)]
    if siblings and own is None:
        options.say(
            f"Note: images or classes differ in number from the official {', '.join(siblings)}: statistics "
            "are measured, and there is no baseline error."
        )

    def describe(moments: Mapping[str, Moments]) -> Benchmark:
        facts = own or known_benchmark(source.name, [known_facts(domain, moments) for domain in domains])
        return replace(facts, name=name or facts.name)

    with held(output):
        check_output(output, sources, force)  # again: another process may have written it in the meantime
        return pack(domains, output, describe, options)


def check_known(paths: Iterable[Path], strict: bool, say: Callable[[str], None]) -> None:
    """Compare archives with the known digests of files of the same name.

    A different digest is a warning with both values; with `strict` it raises VerificationError, as does an unknown
    name.
    """
    known = known_files()
    for path in paths:
        file = known.get(path.name)
        if file is None and strict:
            raise VerificationError(f"no digest is known for {path}. Leave out --strict to use it.")
        if file is None:
            continue
        found = digest_of(path, file.algorithm)
        problem = f"{path} has {file.checked_by} {found}, the known file has {file.digest}"
        if found != file.digest and strict:
            command = f"decathlon data fetch {shlex.quote(path.name)} -o {shlex.quote(str(path.parent))} --force"
            raise VerificationError(f"{problem}. Download it again with: {command}")
        say(f"{path} has the known {file.checked_by}" if found == file.digest else f"Warning: {problem}.")


def own_facts(source: Source, domains: Sequence[PlannedDomain]) -> Benchmark | None:
    """Return the facts in the source's benchmark.json for these domains; None without such a file.

    Raises DataError if it lacks a domain, or contradicts an index or the categories in the annotations.
    """
    if not source.has(FACTS):
        return None
    facts = Benchmark.from_json(parse_json(source.read(FACTS), FACTS, most=MOST_FACTS), FACTS)
    annotated = {domain.name: domain for domain in domains}
    for name in annotated:
        if name not in facts.names:
            raise DataError(f"{FACTS} has no domain {name}. Add it or remove its annotations.")
    kept = tuple(_agreeing(domain, annotated[domain.name]) for domain in facts if domain.name in annotated)
    return replace(facts, domains=kept)


def _agreeing(domain: Domain, annotated: PlannedDomain) -> Domain:
    categories = tuple(sorted(domain.categories, key=lambda category: category.id))
    if categories != annotated.categories:
        raise DataError(
            f"{FACTS}: the categories of {domain.name} differ from its annotations. Correct one of them."
        )
    if domain.index != annotated.index:
        raise DataError(
            f"{FACTS}: {domain.name} has index {domain.index}, its ids have {annotated.index}. Correct one of them."
        )
    return replace(domain, categories=categories)
