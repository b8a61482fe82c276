"""Whether results answer the ground truth: each of its images exactly once, with a category of its domain."""

from collections import defaultdict
from collections.abc import Mapping

from decathlon.data.ground_truth import Truth
from decathlon.data.truth_file import IDS_PER_DOMAIN, TruthDomain
from decathlon.errors import DataError, VerificationError
from decathlon.scoring.results import REPREDICT, Offences, Offenders, Results, refuse_offences
from decathlon.system import schema
from decathlon.system.text import format_value


def check(results: Results, truth: Truth, partial: bool = False) -> tuple[str, ...]:
    """Refuse results that do not answer every image of `truth` exactly once with a category of its domain.

    With `partial`, domains without any answer are allowed. Returns the names of those domains.
    Raises DataError listing the first ten offenders of each kind.
    """
    offences: Offences = defaultdict(Offenders)
    domain_of = {image: domain for domain in truth.domains for image in domain.answers}
    seen = _check_rows(results, truth, domain_of, offences)
    present = {domain_of[image].name for image in seen}
    missing = tuple(domain.name for domain in truth.domains if domain.name not in present)
    if not partial:
        for name in missing:
            kind = "missing domain; predict it, or score the others with --partial and without a total"
            offences[kind].append(name)
    for domain in truth.domains:
        if domain.name not in missing:
            for image in sorted(domain.answers.keys() - seen):
                offences["missing image"].append(f"{image} ({domain.name})")
    foreign = [image for image in results.image_ids if image not in domain_of]
    _refuse_other_images(results, truth, foreign, only=len(offences) == 1)
    refuse_offences(results.source, offences)
    return missing


def refuse_other_images(results: Results, truth: Truth) -> None:
    """Raise VerificationError where other images were predicted than the truth has the answers of.

    They are compared by the digests that both carry; see `uncompared`.
    """
    told = _images(results)
    for domain in truth.domains:
        if domain.images is not None and told.get(domain.name, domain.images) != domain.images:
            raise VerificationError(
                f"{results.source} answers other {truth.split} images of {domain.name} than {truth.source} has the "
                "answers of (their SHA-256 differ). Name the ground truth of the file that was predicted from."
            )


def uncompared(results: Results, truth: Truth) -> set[str]:
    """Return the domains whose images cannot be compared; released annotations, for one, have no digest of them."""
    told = _images(results)
    return {domain.name for domain in truth.domains if domain.images is None or domain.name not in told}


def _images(results: Results) -> Mapping[str, str]:
    told: Mapping[str, str] = (results.protocol or {}).get("images", {})
    schema.check(told, {str: schema.digest}, f"`images` in the protocol of {results.source}", REPREDICT)
    return told


def _refuse_other_images(results: Results, truth: Truth, foreign: list[int], only: bool) -> None:
    """Raise DataError, in one sentence, for results of whole domains or of a split that the truth does not hold.

    `foreign` are the images of the results that the truth does not hold, `only` says that nothing else is wrong.
    """
    held, names = {domain.index for domain in truth.domains}, ", ".join(domain.name for domain in truth.domains)
    cannot, fix = f"{results.source} cannot be scored", "Name the ground truth of the data that was predicted from"
    if len(foreign) == len(results.image_ids):
        other = "val" if truth.split == "test" else "test"
        if results.split is None and held & {image // IDS_PER_DOMAIN for image in foreign}:
            fix += f", or of its {other} images (--split {other})"
        answered = f"it answers no {truth.split} image of {names}, which is what {truth.source} holds"
        raise DataError(f"{cannot}: {answered}. {fix}.")
    if only and foreign and not held & {image // IDS_PER_DOMAIN for image in foreign}:
        rows = f"{len(foreign):,} of its {len(results.image_ids):,} predictions"
        raise DataError(
            f"{cannot}: {truth.source} holds {names} alone, and {rows} are for images of other domains. "
            f"{_fix_truth(truth)}."
        )


def _fix_truth(truth: Truth) -> str:
    """Return how to name the truth of all domains; beside one file there may be the others."""
    beside = truth.source.parent
    more = len(list(beside.glob(f"*_{truth.split}.json"))) > 1 and truth.source.is_file() and not truth.packed
    named = (
        f"the folder {beside}, which holds others too" if more else "a folder or zip with the truth of all of them"
    )
    return f"Name {named}"


def _check_rows(
    results: Results, truth: Truth, domain_of: Mapping[int, TruthDomain], offences: Offences
) -> set[int]:
    owner = {category: domain.name for domain in truth.domains for category in domain.categories}
    seen: set[int] = set()
    for image, category in zip(results.image_ids, results.category_ids, strict=True):
        domain = domain_of.get(image)
        if domain is None:
            offences["foreign image, not in the ground truth"].append(image)
            continue
        answer = f"{image} ({domain.name})"
        if image in seen:
            offences["duplicate image"].append(answer)
        elif category not in owner:
            offences["unknown category"].append(f"{answer} as {format_value(category)}")
        elif category not in domain.categories:
            offences["category of another domain"].append(f"{answer} as {category} ({owner[category]})")
        seen.add(image)
    return seen
