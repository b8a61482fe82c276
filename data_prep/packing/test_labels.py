"""Test labels, kept out of the packed file so that nobody trains or selects on them by accident."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from decathlon.data_prep.packing.plan import PlannedDomain
from decathlon.system.checksums import seal
from decathlon.system.files import replacing
from decathlon.system.strict_json import dump_json


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
