"""svhn: Street View House Numbers, cropped digits (http://ufldl.stanford.edu/housenumbers/).

`X` is (32, 32, 3, n) uint8, `y` (n, 1) with 10 for the digit 0. The data set's extra images are not part of
the challenge. Its 26,040 validation images were drawn from the 73,257 for training; it is not known which.
"""

import numpy as np

from decathlon.data_prep.originals.original import Examples, Original
from decathlon.data_prep.sources.file_tree import Tree
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError

LAYOUT = "a folder with train_32x32.mat and test_32x32.mat"


def read(tree: Tree) -> Original:
    """Return the data set; raises DataError for damage."""
    train, test = (_examples(tree, tree.one(f"{split}_32x32.mat")) for split in ("train", "test"))
    return Original(tuple("0123456789"), train, test=test)


def _examples(tree: Tree, file: str) -> Examples:
    pixels, digits = (np.asarray(found) for found in tree.matlab(file, "X", "y"))
    digits = digits.ravel()
    if pixels.ndim == 3:  # a single image
        pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.shape != (32, 32, 3, len(digits)) or not len(digits):
        raise DataError(
            f"{file}: X is {pixels.dtype} {pixels.shape} and y has {len(digits)} values, expected uint8 "
            "(32, 32, 3, n) and n. Copy or download it again."
        )
    if not np.isin(digits, np.arange(1, 11)).all():
        raise DataError(f"{file}: y has values outside 1 to 10. Copy or download it again.")

    def picture(i: int) -> Picture:
        return Picture(f"image {i + 1}", data=np.ascontiguousarray(pixels[..., i]))

    return Examples(file, (digits % 10).astype(np.int32), picture)
