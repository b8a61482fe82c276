"""dtd: Describable Textures Dataset (https://www.robots.ox.ac.uk/~vgg/data/dtd/), the first of its ten splits.

The challenge has the numbers of images of any of the ten, 40 per class for training, validation and test.
"""

from decathlon.data_prep.originals.original import Examples, Original, labelled
from decathlon.data_prep.sources.file_tree import Tree

LAYOUT = "the folder dtd with images/<class>/ and labels/train1.txt, val1.txt, test1.txt"


def read(tree: Tree) -> Original:
    """Return the data set; raises DataError for missing files."""
    lists = {split: tree.lines(tree.one(f"labels/{split}1.txt")) for split in ("train", "val", "test")}
    names = tuple(sorted({line.partition("/")[0] for lines in lists.values() for line in lines}))
    files = tree.named(r"images/([^/]+/[^/]+\.jpg)")

    def examples(split: str) -> Examples:
        for line in lists[split]:
            if line not in files:
                raise tree.missing(f"images/{line}, which labels/{split}1.txt lists")
        entries = ((files[line], line.partition("/")[0]) for line in lists[split])
        return labelled(f"labels/{split}1.txt", entries, names, tree.picture)

    return Original(names, examples("train"), examples("val"), examples("test"))
