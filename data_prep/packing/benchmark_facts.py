"""A benchmark's facts, if its source has no benchmark.json: the published ones, else measured."""

from collections.abc import Mapping, Sequence

from decathlon.data.domains import CROP_POLICIES, Benchmark, Domain
from decathlon.data.official import OFFICIAL, is_official
from decathlon.data_prep.packing.pixel_statistics import Moments
from decathlon.data_prep.packing.plan import PlannedDomain

OFFICIAL_NAME = "visual-decathlon"
OFFICIAL_BASELINE = "Finetune of Rebuffi et al. 2017, table 1"


def is_published(domain: PlannedDomain) -> bool:
    """Say whether the published statistics and errors apply to this domain.

    The number of test images decides; without test images, those of train and val do.
    """
    counts = domain.counts
    if not is_official(domain.name, len(domain.categories), counts.get("test")):
        return False
    return "test" in counts or all(OFFICIAL[domain.name].count(split) == n for split, n in counts.items())


def known_facts(domain: PlannedDomain, moments: Mapping[str, Moments]) -> Domain:
    """Return a domain's published facts; if they do not apply, measured statistics and no baseline error."""
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
    """Return a benchmark of `domains`, named officially if all of them are official, else as the source."""
    scored = [domain.baseline_error is not None for domain in domains]
    return Benchmark(
        OFFICIAL_NAME if all(scored) else source_name, tuple(domains), OFFICIAL_BASELINE if any(scored) else ""
    )
