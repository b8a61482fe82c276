"""From sources in the official layout to a packed file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from decathlon.data.domains import Benchmark
from decathlon.data.official import OFFICIAL
from decathlon.data_prep.challenge.annotations import read_domains
from decathlon.data_prep.challenge.benchmark_json import own_facts
from decathlon.data_prep.challenge.known_digests import check_known
from decathlon.data_prep.challenge.layout import open_source
from decathlon.data_prep.packing.benchmark_facts import is_published, known_benchmark, known_facts
from decathlon.data_prep.packing.extend import check_output, held
from decathlon.data_prep.packing.pipeline import PACKING, Packing, Prepared, pack
from decathlon.data_prep.packing.pixel_statistics import Moments
from decathlon.system.text import several


def prepare(
    paths: str | Path | Sequence[str | Path], output: str | Path, how: Packing = PACKING, name: str | None = None,
    force: bool = False, strict: bool = False,
) -> Prepared:  # fmt: skip
    """Pack the sources at `paths` into the file `output`, which appears only when it is whole and verified.

    `name` is the benchmark's, None to find one; with `strict`, archives must be those whose digests are known.
    Raises DataError for a bad source, UsageError when `output` exists and `force` is false, VerificationError for
    an archive that `strict` refuses, and what `pack` raises.
    """
    output, sources = Path(output), [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    check_output(output, sources, force)
    source = open_source(sources)
    check_known(source.archives, strict, how.say)
    domains, warnings = read_domains(source)
    for warning in warnings:
        how.say(f"Warning: {warning}")
    total = sum(len(domain) for domain in domains)
    told = ", ".join(str(path) for path in sources)
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
        check_output(output, sources, force)  # again: another process may have written it meanwhile
        return pack(domains, output, describe, how)
