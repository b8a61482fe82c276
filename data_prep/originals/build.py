"""Build one of the ten domains from its original data set: a packed file, and its test labels beside it."""

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from decathlon.data.ground_truth import SUFFIX, truth_folder
from decathlon.data_prep.originals import domains
from decathlon.data_prep.originals.challenge_split import plan
from decathlon.data_prep.packing.extend import extend, refuse_there
from decathlon.data_prep.packing.pipeline import PackOptions, Prepared
from decathlon.data_prep.packing.plan import hide_test_labels, truth_document, writing_truth
from decathlon.data_prep.sources.file_tree import open_tree
from decathlon.errors import unknown


def build(
    name: str, sources: Sequence[Path], output: Path, options: PackOptions, annotations: Path | None = None,
    truth: Path | None = None, force: bool = False,
) -> tuple[Prepared, Path]:  # fmt: skip
    """Add one of the ten domains to the packed file `output`; return what was packed and the test labels' file.

    `sources` hold its original, `annotations` the official ones, as folder or archive; `truth` is the folder for
    the test labels, None for the one beside `output`. Raises DataError if the original is incomplete or wrong,
    UsageError if something would be overwritten without `force`, and whatever `extend` raises.
    """
    original = find(name)
    truth_file = (truth or truth_folder(output)) / f"{name}{SUFFIX}"
    refuse_there(output, [name], force, truth_file)
    domain, lines = plan(name, original.read(open_tree(sources, original.LAYOUT)), annotations)
    for line in lines:
        options.say(line)
    with writing_truth(truth_file, truth_document(domain)):  # both appear, or neither after an error
        return extend(output, [hide_test_labels(domain)], options, force), truth_file


def names() -> list[str]:
    """Return the domains that can be built, one per file in `originals/domains/`."""
    return sorted(entry.name.replace("_", "-") for entry in pkgutil.iter_modules(domains.__path__))


def find(name: str) -> ModuleType:
    """Return the module in `originals/domains/` for a domain; raises UsageError with the nearest name."""
    if name not in names():
        raise unknown("domain", name, names())
    return importlib.import_module(f"decathlon.data_prep.originals.domains.{name.replace('-', '_')}")
