"""Write packed domains back as image files and annotations, in the official layout."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from decathlon.data.domains import Domain
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.challenge.layout import ANNOTATIONS, FACTS
from decathlon.system.files import appearing, write_json

_AT_ONCE = 64  # images in memory


@dataclass(frozen=True)
class ImageFormat:
    """How images are written: `png` keeps every pixel, `jpg` with a `quality` from 1 to 100 does not."""

    kind: Literal["png", "jpg"] = "png"
    quality: int = 95

    def save(self, pixels: npt.NDArray[np.uint8], path: Path) -> None:
        """Write pixels (height, width, 3); gray images as one channel, which restores the same pixels."""
        grey = (pixels == pixels[..., :1]).all()
        image = Image.fromarray(np.ascontiguousarray(pixels[..., 0]) if grey else pixels)
        image.save(path, {"png": "PNG", "jpg": "JPEG"}[self.kind], quality=self.quality)  # PNG ignores a quality


@dataclass(frozen=True)
class Exported:
    """What was written: the domains, their number of images and the largest shorter side, in pixels."""

    domains: tuple[str, ...]
    images: int
    side: int


@dataclass(frozen=True)
class _Split:
    """One split to write."""

    domain: Domain
    name: str
    columns: dict[str, npt.NDArray[Any]]
    form: ImageFormat

    def file(self, place: int) -> str:
        """Return the file name of an image; its folder is the number of its class, whose name may have a `/`."""
        folder = "test" if self.name == "test" else f"{self.name}/{self.columns['label'][place] + 1:04d}"
        return f"data/{self.domain.name}/{folder}/{place + 1:06d}.{self.form.kind}"

    def images(self) -> Iterable[dict[str, Any]]:
        """Yield the annotation file's entries of the images."""
        ids, height, width = (self.columns[name].tolist() for name in ("image_id", "height", "width"))
        for i, image in enumerate(ids):
            yield {"id": image, "width": width[i], "height": height[i], "file_name": self.file(i)}

    def annotations(self) -> Iterable[dict[str, Any]]:
        """Yield the annotation file's entries of the labels that are known."""
        empty: dict[str, Any] = {"segmentation": [], "area": 0, "bbox": [], "iscrowd": 0}
        ids = self.domain.category_ids
        for image, label in zip(self.columns["image_id"].tolist(), self.columns["label"].tolist(), strict=True):
            if label >= 0:
                yield {"id": image, "image_id": image, "category_id": ids[label], **empty}


def export(
    packed: PackedFile,
    names: Sequence[str],
    out: Path,
    form: ImageFormat,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Exported:
    """Write the named domains, by default all, to the new folder `out`, which appears when it is complete.

    `decathlon data prepare` reads it: from PNG files of all domains it makes a file with the same digest. Known
    test labels are written to both annotation files, `_test.json` and `_test_stripped.json`: the packed file does
    not hide them either. Raises UsageError for an unknown domain or if `out` exists, DataError if the file is
    damaged, DecathlonError if `out` cannot be written.
    """
    wanted = {packed.benchmark[name].name for name in names or packed.benchmark.names}
    kept = replace(packed.benchmark, domains=tuple(d for d in packed.benchmark if d.name in wanted))
    total = sum(packed.count(name, split) for name in kept.names for split in packed.splits(name))
    done = side = 0
    with appearing(out) as root:
        (root / ANNOTATIONS).mkdir()
        for domain, name in [(each, name) for each in kept for name in packed.splits(each.name)]:
            columns = {c: packed.column(domain.name, name, c) for c in ("label", "image_id", "height", "width")}
            split = _Split(domain, name, columns, form)
            for count in _save_images(packed, split, root):
                progress(done + count, total)
            done += len(columns["label"])
            side = max(side, int(np.minimum(columns["height"], columns["width"]).max()))
            _annotate(packed, split, root, say)
        write_json(root / FACTS, kept.to_json())
        os.sync()  # all files at once: flushing each of a million would take hours
    return Exported(kept.names, done, side)


def _save_images(packed: PackedFile, split: _Split, root: Path) -> Iterator[int]:
    """Write a split's images; yield the number written, now and then."""
    made: set[Path] = set()
    for i, pixels in enumerate(packed.images(split.domain.name, split.name)):
        path = root / split.file(i)
        if path.parent not in made:
            path.parent.mkdir(parents=True)
            made.add(path.parent)
        split.form.save(pixels, path)
        if (i + 1) % _AT_ONCE == 0:
            yield i + 1
    yield len(split.columns["label"])


def _annotate(packed: PackedFile, split: _Split, root: Path, say: Callable[[str], None]) -> None:
    """Write the annotation file of a split, or the two of a test split whose labels are known."""
    labels = split.columns["label"]
    unknown = int((labels < 0).sum())
    if unknown and (split.name != "test" or unknown < len(labels)):
        say(
            f"Warning: {split.domain.name}/{split.name} has {unknown:,} images without a label; 'data prepare' "
            "needs labels for a whole split, or for none of a test split."
        )
    endings = {"test": ["test_stripped"] if unknown else ["test_stripped", "test"]}.get(split.name, [split.name])
    for ending in endings:
        _write_annotations(root / ANNOTATIONS / f"{split.domain.name}_{ending}.json", split, packed.digest)


def _write_annotations(path: Path, split: _Split, digest: str) -> None:
    """Write an annotation file entry by entry: as one string, that of ImageNet would take gigabytes of memory."""
    domain = split.domain
    categories = [{"id": each.id, "name": each.name, "supercategory": domain.name} for each in domain.categories]
    lists = {"images": split.images(), "annotations": split.annotations(), "categories": categories, "licenses": []}
    description = f"{domain.name}, {split.name}, exported from the packed file of digest {digest}"
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"info": {json.dumps({"description": description, "version": 1})}')
        for key, entries in lists.items():
            file.write(f', "{key}": [')
            for i, entry in enumerate(entries):
                file.write(f"{',' if i else ''}\n{json.dumps(entry)}")
            file.write("]")
        file.write("}\n")
