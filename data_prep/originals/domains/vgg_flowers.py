"""vgg-flowers: 102 Category Flower Dataset (https://www.robots.ox.ac.uk/~vgg/data/flowers/102/).

The released class names are Flower1<number>, sorted as strings: Flower11 is class 1, Flower110 class 10.
"""

import numpy as np

from decathlon.data_prep.originals.original import Examples, Original, labelled
from decathlon.data_prep.sources.file_tree import Tree
from decathlon.errors import DataError

LAYOUT = "a folder with jpg/image_<number>.jpg (102flowers.tgz), imagelabels.mat and setid.mat"
_CLASSES = 102


def read(tree: Tree) -> Original:
    """Return the data set; raises DataError for damage and missing files."""
    table, sets = tree.one("imagelabels.mat"), tree.one("setid.mat")
    (labels,) = tree.matlab(table, "labels")
    numbers = tree.matlab(sets, "trnid", "valid", "tstid")
    files = {int(number): file for number, file in tree.named(r"image_(\d{5})\.jpg").items()}
    flowers = np.asarray(labels).ravel()
    names = tuple(sorted(f"Flower1{i + 1}" for i in range(_CLASSES)))

    def examples(split: np.ndarray) -> Examples:
        entries = []
        for number in np.asarray(split).ravel().tolist():
            if not 1 <= number <= len(flowers):
                raise DataError(f"{sets} lists image {number}, {table} labels {len(flowers):,}. Copy both again.")
            if number not in files:
                raise tree.missing(f"jpg/image_{number:05d}.jpg")
            entries.append((files[number], f"Flower1{flowers[number - 1]}"))
        return labelled(table, entries, names, tree.picture)

    train, val, test = (examples(split) for split in numbers)
    return Original(names, train, val, test)
