"""imagenet12: ILSVRC 2012 classification (https://image-net.org), the folders or the tar archives as they are.

The numbers of images show the challenge's split: 1,232,167 + 49,000 images are the 1,281,167 for training, and its
48,238 test images are the 50,000 for validation without the 1,762 that later development kits list as discarded
(ILSVRC2014_clsloc_validation_blacklist.txt, or that of 2015 or 2017, beside the images). Which
49,000 is not known. The validation labels come from their folders (n01440764/), else from LOC_val_solution.csv,
else from ILSVRC2012_validation_ground_truth.txt with meta.mat (this needs scipy).
"""

import re
from collections.abc import Mapping

import numpy as np

from decathlon.data_prep.originals.original import Examples, Original, labelled
from decathlon.data_prep.sources.file_tree import Tree
from decathlon.errors import DataError

LAYOUT = (
    "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar or their folders, and the folder ILSVRC2012_devkit_t12 or "
    "LOC_val_solution.csv, unless the validation images are in folders of their classes"
)
_ROW = re.compile(r"ILSVRC2012_val_(\d{8}),(n\d{8})\b")  # then boxes


def read(tree: Tree) -> Original:
    """Return the data set; raises DataError for missing images and labels."""
    train = [(file, match[1]) for file, match in tree.matching(r"(n\d{8})/\1_\d+\.JPEG")]
    if not train:
        raise tree.missing("n<8 digits>/n<8 digits>_<number>.JPEG for training")
    names = tuple(sorted({name for _, name in train}))
    test, notes = _test(tree, names)
    return Original(names, labelled("ILSVRC2012 train", train, names, tree.picture), test=test, notes=notes)


def _test(tree: Tree, names: tuple[str, ...]) -> tuple[Examples, tuple[str, ...]]:
    found = list(tree.matching(r"(?:(n\d{8})/)?ILSVRC2012_val_(\d{8})\.JPEG"))
    if not found:
        raise tree.missing("ILSVRC2012_val_<number>.JPEG")
    files = {int(match[2]): file for file, match in found}
    if len(files) != len(found):
        raise DataError(
            f"{tree.name} has {len(found):,} validation images with duplicates. Pass only one copy of them."
        )
    by_folder = {int(match[2]): match[1] for _, match in found if match[1]}
    labels = by_folder if len(by_folder) == len(found) else _labels(tree)
    discarded, notes = _discarded(tree)
    kept = [number for number in sorted(files) if number not in discarded]
    for number in kept:
        if number not in labels:
            raise tree.missing(f"label of {files[number]}")
    entries = ((files[number], labels[number]) for number in kept)
    return labelled("ILSVRC2012 val", entries, names, tree.picture), notes


def _labels(tree: Tree) -> Mapping[int, str]:
    """Return the class of every validation image by its number."""
    table = tree.find("LOC_val_solution.csv")
    if table is not None:
        rows = filter(None, map(_ROW.match, tree.lines(table)))
        return {int(row[1]): row[2] for row in rows}
    truth, meta = tree.one("ILSVRC2012_validation_ground_truth.txt"), tree.one("meta.mat")
    (synsets,) = tree.matlab(meta, "synsets")
    try:
        ids, wnids = (
            [np.ravel(value)[0] for value in np.ravel(synsets[field])] for field in ("ILSVRC2012_ID", "WNID")
        )
        name_of = {int(number): str(wnid) for number, wnid in zip(ids, wnids, strict=True)}
        return {i + 1: name_of[int(line)] for i, line in enumerate(tree.lines(truth))}
    except (IndexError, KeyError, ValueError) as error:
        raise DataError(f"{truth} and {meta} do not match ({error}). Unpack the kit again.") from None


def _discarded(tree: Tree) -> tuple[set[int], tuple[str, ...]]:
    """Return the numbers of the validation images that the challenge left out, and notes for the user."""
    found = [file for file, _ in tree.matching(r"ILSVRC\d{4}_clsloc_validation_blacklist\.txt")]
    if not found:
        return set(), (
            "the challenge's 48,238 test images are the 50,000 for validation without 1,762 discarded ones: to "
            "leave them out, add --from ILSVRC2014_clsloc_validation_blacklist.txt (or 2015, 2017) of a later kit.",
        )
    try:
        return {int(line) for line in tree.lines(found[0])}, ()
    except ValueError:
        raise DataError(f"{found[0]} does not have one number per line. Copy it again from the kit.") from None
