"""gtsrb: German Traffic Sign Recognition Benchmark (https://benchmark.ini.rub.de), Final_Training and Final_Test.

Not GTSRB-Training_fixed.zip, which torchvision takes: it has 26,640 images, the challenge used 39,209. The released
class names are TrafficSign<ClassId + 1>, sorted as strings. The 7,842 validation images were drawn from those for
training; it is not known which. Here a track, 30 images of one sign as the car approaches, stays in one split.
"""

import csv

from decathlon.data_prep.originals.original import Examples, Original, labelled
from decathlon.data_prep.sources.file_tree import Tree
from decathlon.errors import DataError

LAYOUT = (
    "the folder GTSRB with Final_Training/Images/<class>/<track>_<frame>.ppm, Final_Test/Images/<number>.ppm and "
    "GT-final_test.csv"
)
_CLASSES = 43


def read(tree: Tree) -> Original:
    """Return the data set; raises DataError for missing files and a damaged table."""
    names = tuple(sorted(f"TrafficSign{i + 1}" for i in range(_CLASSES)))
    return Original(names, _train(tree, names), test=_test(tree, names))


def _train(tree: Tree, names: tuple[str, ...]) -> Examples:
    found = [(file, match) for file, match in tree.matching(r"Final_Training/Images/(\d{5})/(\d{5})_\d{5}\.ppm")]
    if not found:
        raise tree.missing("Final_Training/Images/<class>/<track>_<frame>.ppm")
    entries = ((file, f"TrafficSign{int(match[1]) + 1}") for file, match in found)
    examples = labelled("Final_Training", entries, names, tree.picture)
    return examples.grouped([match.groups() for _, match in found])


def _test(tree: Tree, names: tuple[str, ...]) -> Examples:
    files = tree.named(r"Final_Test/Images/(\d{5}\.ppm)")
    table = tree.one("GT-final_test.csv")
    try:
        rows = list(csv.DictReader(tree.lines(table), delimiter=";"))
        signs = {row["Filename"]: f"TrafficSign{int(row['ClassId']) + 1}" for row in rows}
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{table} has no readable columns Filename and ClassId ({error}). Take it from GTSRB_Final_Test_GT.zip."
        ) from None
    if len(signs) != len(rows) or set(signs) != set(files):
        odd = sorted(set(signs) ^ set(files))
        raise DataError(
            f"{table} lists {len(rows):,} images, Final_Test/Images holds {len(files):,}"
            f"{f' ({odd[0]}, for instance)' if odd else ''}. Unpack both archives again."
        )
    return labelled(table, ((files[name], sign) for name, sign in signs.items()), names, tree.picture)
