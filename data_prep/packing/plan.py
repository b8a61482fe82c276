"""The domains and splits to pack, before any image is read.

Test labels are kept out of the packed file, so that nobody trains or selects on them by accident.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from decathlon.data.domains import Category, CropPolicy
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.system.checksums import seal
from decathlon.system.files import replacing
from decathlon.system.strict_json import dump_json


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


def hide_test_labels(domain: PlannedDomain) -> PlannedDomain:
    """Return the domain as it is packed, with unknown test labels."""
    if "test" not in domain.splits:
        return domain
    test = domain.splits["test"]
    hidden = replace(test, labels=np.full_like(test.labels, -1))
    return replace(domain, splits={**domain.splits, "test": hidden})


def truth_document(domain: PlannedDomain) -> dict[str, Any]:
    """Return the annotations of the test images in the format of the released files."""
    test = domain.splits["test"]
    ids = test.image_ids.tolist()
    categories = [domain.categories[label] for label in test.labels.tolist()]
    return {
        "images": [{"id": image} for image in ids],
        "annotations": [
            {"id": image, "image_id": image, "category_id": category.id}
            for image, category in zip(ids, categories, strict=True)
        ],
        "categories": [
            {"id": category.id, "name": category.name, "supercategory": domain.name}
            for category in domain.categories
        ],
    }


@contextlib.contextmanager
def writing_truth(file: Path, document: Mapping[str, Any] | None) -> Iterator[None]:
    """Write a JSON file that appears when the block ends without an error; None removes an existing one."""
    if document is None:
        yield
        file.unlink(missing_ok=True)
        return
    new = not file.parent.exists()
    try:
        with replacing(file) as part:
            part.write_text(dump_json(seal(document)), encoding="utf-8")
            yield
    except BaseException:
        if new:
            with contextlib.suppress(OSError):  # it was never created, or others use it meanwhile
                file.parent.rmdir()
        raise
