"""A benchmark's facts: from its own benchmark.json, else the published ones, else measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from decathlon.data.domains import CROP_POLICIES, Benchmark, Domain
from decathlon.data.official import OFFICIAL, is_official
from decathlon.data_prep.packing.pixel_statistics import Moments
from decathlon.data_prep.packing.plan import PlannedDomain
from decathlon.data_prep.source import Source
from decathlon.errors import DataError
from decathlon.system.strict_json import parse_json

FACTS = "benchmark.json"
OFFICIAL_NAME = "visual-decathlon"
OFFICIAL_BASELINE = "Finetune of Rebuffi et al. 2017, table 1"


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


def is_published(domain: PlannedDomain) -> bool:
    """Say whether the published statistics and errors are this domain's.

    The test images decide; where there are none, the numbers of train and val images do.
    """
    counts = domain.counts
    if not is_official(domain.name, len(domain.categories), counts.get("test")):
        return False
    return "test" in counts or all(OFFICIAL[domain.name].count(split) == n for split, n in counts.items())


def known_facts(domain: PlannedDomain, moments: Mapping[str, Moments]) -> Domain:
    """Return a domain's published facts, with measured statistics and no baseline where they are not its own."""
    official = OFFICIAL.get(domain.name)
    published = official if is_published(domain) else None
    statistics = published or moments[domain.name]
    flip, crop = (official.flip, official.crop) if official else (True, CROP_POLICIES[0])
    return Domain(
        name=domain.name,
        index=domain.index,
        categories=domain.categories,
        mean=statistics.mean,
        std=statistics.std,
        flip=flip if domain.flip is None else domain.flip,
        crop=domain.crop or crop,
        baseline_error=published.finetune_error if published else None,
    )


def known_benchmark(source_name: str, domains: Sequence[Domain]) -> Benchmark:
    """Return a benchmark of `domains`, with the official name if all of them are official, else the source's."""
    scored = [domain.baseline_error is not None for domain in domains]
    return Benchmark(
        OFFICIAL_NAME if all(scored) else source_name, tuple(domains), OFFICIAL_BASELINE if any(scored) else ""
    )
