"""A source's annotations: its domains, their categories, and the images and labels of each split.

The files are named `annotations/<domain>_train.json`, `_val.json` and `_test_stripped.json`. Labels come from
category ids, never from sorted names, whose order differs between strings and numbers.
"""

import re
from functools import partial

from decathlon.data.domains import SPLITS, refuse_name
from decathlon.data_prep.challenge.layout import ANNOTATIONS, LAYOUT, Source
from decathlon.data_prep.packing.plan import PlannedDomain, PlannedSplit, refuse_other_classes
from decathlon.data_prep.sources.coco_json import ID_STEP, AnnotationFile, read_file, refuse_duplicates
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError

_SUFFIX = {"train": "train", "val": "val", "test": "test_stripped"}  # `_test` is the ground truth for scoring
_FILE = re.compile(rf"{ANNOTATIONS}/(\w[\w .+-]*)_(train|val|test_stripped|test)\.json")


def read_domains(source: Source) -> tuple[list[PlannedDomain], list[str]]:
    """Return the source's domains by index, and a warning for everything left out.

    Left out are labelled test splits, and domains without a single image. `<domain>_test.json` is the ground truth
    for scoring and is never read here. Raises DataError naming the file that is wrong.
    """
    found: dict[str, set[str]] = {}
    unused = []
    for name in source.names(ANNOTATIONS):
        if match := _FILE.fullmatch(name):
            found.setdefault(match[1], set()).add(match[2])
        elif name.endswith(".json"):
            unused.append(f"{name!r} is ignored: its name is not <domain>_train, _val or _test_stripped.json.")
    warnings = unused + [
        f"{domain}: the test split is left out, since {ANNOTATIONS}/{domain}_test.json holds the true labels and "
        f"there is no {domain}_test_stripped.json."
        for domain, kinds in sorted(found.items())
        if "test" in kinds and "test_stripped" not in kinds
    ]
    domains = [_read_domain(source, name, kinds) for name, kinds in sorted(found.items()) if kinds != {"test"}]
    if not domains:
        raise DataError(f"{source.name} has no annotations of a domain. It must contain {LAYOUT}.")
    there = [
        domain
        for domain in domains
        if any(split.picture(i).there for split in domain.splits.values() for i in range(len(split)))
    ]
    if not there:
        raise DataError(
            f"{source.name} has annotations but none of their images. Pass the images as another source."
        )
    for domain in domains:
        if domain not in there:
            warnings.append(f"{domain.name} is left out: none of its {len(domain):,} images was found.")
    domains = there
    domains.sort(key=lambda domain: domain.index)
    for one, two in zip(domains, domains[1:], strict=False):
        if one.index == two.index:
            raise DataError(f"{one.name} and {two.name} both have ids of domain {one.index}. Renumber one of them.")
    return domains, warnings


def _read_domain(source: Source, name: str, kinds: set[str]) -> PlannedDomain:
    if name == "benchmark":
        raise DataError("a domain cannot be named 'benchmark'. Rename its annotation files.")
    refuse_name(name)
    splits: dict[str, AnnotationFile] = {}
    for split in SPLITS:
        if _SUFFIX[split] not in kinds:
            continue
        origin = f"{ANNOTATIONS}/{name}_{_SUFFIX[split]}.json"
        splits[split] = read_file(source.read(origin), origin, may_lack_labels=split == "test")
    first, *others = splits.values()
    for other in others:
        if other.categories != first.categories:
            raise DataError(
                f"{other.origin}: its categories differ from those of {first.origin}. Correct one of them."
            )
    ids = [i for split in splits.values() for i in split.image_ids.tolist()]
    refuse_duplicates(ids, f"{name}: its splits have a duplicate image id")
    classes = {
        split: {first.categories[label].name for label in {*file.labels.tolist()} - {-1}}
        for split, file in splits.items()
    }
    refuse_other_classes(f"{name}: ", classes)
    planned = {
        split: PlannedSplit(file.origin, file.image_ids, file.labels, partial(_picture, source, file))
        for split, file in splits.items()
    }
    return PlannedDomain(name, first.categories[0].id // ID_STEP, first.categories, planned)


def _picture(source: Source, file: AnnotationFile, i: int) -> Picture:
    return source.picture(file.files[i])
