"""daimlerpedcls: Daimler Pedestrian Classification Benchmark (Munder and Gavrila 2006), DC-ped-dataset_base.

Folders 1, 2 and 3 are for training, T1 and T2 for test; each has 4,800 pedestrians and 5,000 other cuts of 18x36
grey pixels. The 5,880 validation images were drawn from the 29,400 for training; it is not known which.
"""

from decathlon.data_prep.originals.original import Examples, Original, labelled
from decathlon.data_prep.sources.file_tree import Tree

LAYOUT = (
    "the folder DC-ped-dataset_base with 1/, 2/, 3/, T1/ and T2/ (ped_examples/, non-ped_examples/), or its .tar.gz"
)
_NAMES = {"ped": "ped", "non-ped": "nonped"}  # by the beginning of their folder's name


def read(tree: Tree) -> Original:
    """Return the data set; raises DataError for a missing folder."""
    names = tuple(sorted(_NAMES.values()))
    return Original(names, _examples(tree, names, ("1", "2", "3")), test=_examples(tree, names, ("T1", "T2")))


def _examples(tree: Tree, names: tuple[str, ...], folders: tuple[str, ...]) -> Examples:
    entries = []
    for folder in folders:
        for kind, name in _NAMES.items():
            found = [(file, name) for file, _ in tree.matching(rf"{folder}/{kind}_examples/[^/]+\.pgm")]
            if not found:
                raise tree.missing(f"{folder}/{kind}_examples/<name>.pgm")
            entries += found
    return labelled(" ".join(folders), entries, names, tree.picture)
