"""aircraft: FGVC-Aircraft (https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/), its 100 variants and own splits.

The bottom 20 pixel rows of an image are a line of text about its author; they are kept.
"""

from decathlon.data_prep.originals.original import Examples, Original, labelled
from decathlon.data_prep.sources.file_tree import Tree
from decathlon.errors import DataError

LAYOUT = "the folder fgvc-aircraft-2013b with data/images/, variants.txt and images_variant_{train,val,test}.txt"


def read(tree: Tree) -> Original:
    """Return the data set; raises DataError for damage and missing files."""
    names = tuple(sorted(tree.lines(tree.one("variants.txt"))))
    files = tree.named(r"images/(\d+)\.jpg")

    def examples(split: str) -> Examples:
        table = tree.one(f"images_variant_{split}.txt")
        entries = []
        for line in tree.lines(table):
            number, _, variant = line.partition(" ")
            if not variant:
                raise DataError(f"{table}: {line!r} is not an image number and a variant. Copy it again.")
            if number not in files:
                raise tree.missing(f"images/{number}.jpg, which {table} lists")
            entries.append((files[number], variant.strip()))
        return labelled(table, entries, names, tree.picture)

    return Original(names, examples("train"), examples("val"), examples("test"))
