"""The domains and splits to pack, before any image is read, and their facts: published ones, else measured.

Test labels are kept out of the packed file, so that nobody trains or selects on them by accident.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from decathlon.data.domains import CROP_POLICIES, SPLITS, Benchmark, Category, CropPolicy, Domain
from decathlon.data.official import OFFICIAL, is_official
from decathlon.data.packed_file import PackedFile
from decathlon.data.truth_file import IMAGES_DIGEST
from decathlon.data_prep.packing.pixel_statistics import Moments
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError
from decathlon.system.checksums import seal
from decathlon.system.files import replacing
from decathlon.system.strict_json import dump_json
from decathlon.system.text import first

OFFICIAL_NAME = "visual-decathlon"
OFFICIAL_BASELINE = "Finetune of Rebuffi et al. 2017, table 1"


@dataclass(frozen=True)
class PlannedSplit:
    """One split: `picture(i)` is one of its images, in the order of labels and ids.

    `origin` names their source, for messages. `labels` are positions in the domain's categories, -1 if unknown.
    """

    origin: str
    image_ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int32]
    picture: Callable[[int], Picture]

    def __len__(self) -> int:
        return len(self.image_ids)


@dataclass(frozen=True)
class PlannedDomain:
    """One domain: its categories, sorted by id, and its splits in the order train, val, test.

    `flip` and `crop` are as in `Domain`; None means as published for an official domain, else True and `crop`.
    """

    name: str
    index: int
    categories: tuple[Category, ...]
    splits: Mapping[str, PlannedSplit]
    flip: bool | None = None
    crop: CropPolicy | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The number of images of every split."""
        return {name: len(split) for name, split in self.splits.items()}

    def __len__(self) -> int:
        return sum(self.counts.values())


def is_published(domain: PlannedDomain) -> bool:
    """Say whether the published statistics and errors apply to this domain.

    The number of test images decides; without test images, those of train and val do.
    """
    counts = domain.counts
    if not is_official(domain.name, len(domain.categories), counts.get("test")):
        return False
    return "test" in counts or all(OFFICIAL[domain.name].count(split) == n for split, n in counts.items())


def refuse_other_classes(where: str, classes: Mapping[str, Collection[str]]) -> None:
    """Raise DataError, beginning with `where`, for a split without a single class of train: every score would be 0.

    `classes` are those of the images of every split; none for unknown ones.
    """
    known = set(classes.get("train", ()))
    for split in SPLITS:
        found = classes.get(split, ())
        if known and found and known.isdisjoint(found):
            told = f"{split} has {first(found)}, train has {first(known)}"
            bare = ", or put them directly into test, to predict them without scoring" if split == "test" else ""
            problem = f"{where}{split} shares no class with train ({told})"
            raise DataError(f"{problem}. Sort its images into the classes of train{bare}.")


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


def hide_test_labels(domain: PlannedDomain) -> PlannedDomain:
    """Return the domain as it is packed, with unknown test labels."""
    if "test" not in domain.splits:
        return domain
    test = domain.splits["test"]
    hidden = replace(test, labels=np.full_like(test.labels, -1))
    return replace(domain, splits={**domain.splits, "test": hidden})


def truth_document(domain: PlannedDomain, names: Sequence[str] = ()) -> dict[str, Any]:
    """Return the annotations of the test images as the released files have them; `names` are their file names.

    There are none for images without labels: the rest is the document that names them.
    """
    test = domain.splits["test"]
    ids = test.image_ids.tolist()
    known = [(image, label) for image, label in zip(ids, test.labels.tolist(), strict=True) if label >= 0]
    return {
        "images": [{"id": i, "file_name": name} for i, name in zip(ids, names, strict=True)]
        if names
        else [{"id": image} for image in ids],
        "annotations": [
            {"id": image, "image_id": image, "category_id": domain.categories[label].id} for image, label in known
        ],
        "categories": [
            {"id": category.id, "name": category.name, "supercategory": domain.name}
            for category in domain.categories
        ],
    }


@contextlib.contextmanager
def hiding_test_labels(
    domain: PlannedDomain, packed: Path, file: Path, names: Sequence[str] = ()
) -> Iterator[PlannedDomain]:
    """Yield the domain that the block packs into the file `packed`; its test labels appear in `file` after that.

    They name the test images by their digest.
    """
    document = truth_document(domain, names) if "test" in domain.splits else None
    with writing_truth(file, document):
        yield hide_test_labels(domain)
        if document is not None:
            with PackedFile(packed) as done:
                document[IMAGES_DIGEST] = done.images_digest(domain.name, "test")


@contextlib.contextmanager
def writing_truth(file: Path, document: Mapping[str, Any] | None) -> Iterator[None]:
    """Write a JSON file that appears when the block ends without an error; None removes an existing one.

    The block may add to the document.
    """
    if document is None:
        yield
        file.unlink(missing_ok=True)
        return
    new = not file.parent.exists()
    try:
        with replacing(file) as part:
            part.write_text(dump_json(seal(document)), encoding="utf-8")  # a full disk is told before the work
            yield
            part.write_text(dump_json(seal(document)), encoding="utf-8")  # with what the block added
    except BaseException:
        if new:
            with contextlib.suppress(OSError):  # it was never created, or others use it meanwhile
                file.parent.rmdir()
        raise
