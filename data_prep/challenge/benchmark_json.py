"""The facts that a source brings in a benchmark.json of its own, which must agree with its annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from decathlon.data.domains import Benchmark, Domain
from decathlon.data_prep.challenge.layout import Source
from decathlon.data_prep.packing.plan import PlannedDomain
from decathlon.errors import DataError
from decathlon.system.strict_json import parse_json

FACTS = "benchmark.json"


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
