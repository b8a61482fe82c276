"""cifar100: CIFAR-100, the binary version (https://www.cs.toronto.edu/~kriz/cifar.html).

A record is one byte coarse label, one byte fine label, then 1024 red, 1024 green and 1024 blue pixels of 32x32.
The official 10,000 validation images were drawn from the 50,000 for training; it is not known which.
"""

import numpy as np

from decathlon.data_prep.originals.original import Examples, Original
from decathlon.data_prep.sources.file_tree import Tree
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError

LAYOUT = "cifar-100-binary (train.bin, test.bin, fine_label_names.txt) or its .tar.gz"
_RECORD = 2 + 3 * 32 * 32


def read(tree: Tree) -> Original:
    """Return the data set; raises DataError for damage, and for the Python version, which is pickled."""
    if tree.find("train.bin") is None and tree.find("meta") is not None:
        raise DataError(
            f"{tree.name} is the Python version, and pickle is never loaded, since it can run any code. "
            f"Download {LAYOUT}."
        )
    names = tuple(tree.lines(tree.one("fine_label_names.txt")))
    train, test = (_examples(tree, tree.one(file), len(names)) for file in ("train.bin", "test.bin"))
    return Original(names, train, test=test)


def _examples(tree: Tree, file: str, classes: int) -> Examples:
    data = np.frombuffer(tree.read(file), np.uint8)
    if not len(data) or len(data) % _RECORD:
        raise DataError(
            f"{file} has {len(data):,} bytes, not a multiple of the record size {_RECORD:,}. Copy it again."
        )
    records = data.reshape(-1, _RECORD)
    labels = records[:, 1].astype(np.int32)
    if labels.max() >= classes:
        at = int(labels.argmax())
        raise DataError(
            f"{file}: record {at} has label {labels[at]}, the last class is {classes - 1}. Copy it again."
        )

    def picture(i: int) -> Picture:
        planes = records[i, 2:].reshape(3, 32, 32)
        return Picture(f"record {i}", data=np.ascontiguousarray(planes.transpose(1, 2, 0)))

    return Examples(file, labels, picture)
