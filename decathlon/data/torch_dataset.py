"""A packed domain as a data set with torchvision's conventions, for use in other code bases."""

import operator
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, SupportsIndex

from PIL import Image
from torch.utils.data import Dataset

from decathlon.data.domains import Domain
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DataError


class PackedDomain(Dataset[tuple[Any, Any]]):
    """One split of a domain in the packed file `path`: (Pillow RGB image, label) pairs, each after its transform.

    `classes` are the category names in label order; `targets` are the labels, -1 where unknown, as for the
    challenge's test images. A name that occurs more than once in a domain, as `crane` in ImageNet, gets its
    category id: `crane (60000135)`; so `class_to_idx` has an entry for every class. `image_ids` (one per image) and
    `category_ids` (one per class) are those of a results file; `mean` and `std` are per RGB channel in 0..1.

    Each process opens the file when it first reads an image, so workers of a DataLoader may be forked or spawned.
    Reading an image takes tens of microseconds in file order, hundreds in random order, because the file is read
    and checked in chunks of 1 MB. For training at full speed see `decathlon.data.image_pool`.

    Raises UsageError for an unknown domain, DataError when the file cannot be read, lacks the split or is damaged.
    """

    def __init__(
        self, path: str | Path, domain: str, split: str = "train",
        transform: Callable[[Image.Image], Any] | None = None, target_transform: Callable[[int], Any] | None = None,
    ) -> None:  # fmt: skip
        self.path, self.split = Path(path).expanduser().absolute(), split
        self.transform, self.target_transform = transform, target_transform
        self._file: tuple[int, PackedFile] | None = None
        with PackedFile(self.path) as packed:
            self.domain: Domain = packed.benchmark[domain]
            columns = {name: packed.column(domain, split, name) for name in ("label", "image_id")}
            self._offset, self._height, self._width = packed.places(domain, split)
            self._digest = packed.split_digest(domain, split)
        self.targets: list[int] = columns["label"].tolist()
        self.image_ids: list[int] = columns["image_id"].tolist()
        self.classes = _distinct(self.domain)
        self.class_to_idx = {name: label for label, name in enumerate(self.classes)}
        self.category_ids = self.domain.category_ids
        self.mean, self.std = self.domain.mean, self.domain.std

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: SupportsIndex) -> tuple[Any, Any]:
        """Return image and label at an index, counted from the end when negative."""
        given = operator.index(index)
        place = given + len(self) if given < 0 else given
        if not 0 <= place < len(self):
            raise IndexError(f"{self.domain.name}/{self.split} has {len(self)} images, none at {given}")
        begin, end = int(self._offset[place]), int(self._offset[place + 1])
        pixels = self._packed().pixels(self.domain.name, self.split, begin, end)
        image: Any = Image.fromarray(pixels.reshape(int(self._height[place]), int(self._width[place]), 3))
        target: Any = self.targets[place]
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def _packed(self) -> PackedFile:
        """Return the file, opened by this process: a handle from before a fork belongs to another process."""
        if self._file is None or self._file[0] != os.getpid():
            packed = PackedFile(self.path)
            if packed.split_digest(self.domain.name, self.split) != self._digest:
                raise DataError(f"{self.path} has changed since the data set was made. Make the data set again.")
            self._file = (os.getpid(), packed)
        return self._file[1]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}  # every process opens its own

    def __repr__(self) -> str:
        lines = [
            f"Dataset {type(self).__name__}",
            f"    Number of datapoints: {len(self)}",
            f"    Root location: {self.path}",
            f"    Domain: {self.domain.name} ({len(self.classes)} classes)",
            f"    Split: {self.split}",
        ]
        for name in ("transform", "target_transform"):
            if (value := getattr(self, name)) is not None:
                lines.append(f"    {name}: {value!r}".replace("\n", "\n    "))
        return "\n".join(lines)


def _distinct(domain: Domain) -> list[str]:
    """Return the categories' names, with the id appended to each that occurs more than once."""
    names = [category.name for category in domain.categories]
    while len(set(names)) < len(names):  # a second round only where a name already ends in another's id
        count = Counter(names)
        numbered = zip(names, domain.category_ids, strict=True)
        names = [f"{name} ({number})" if count[name] > 1 else name for name, number in numbered]
    return names
