"""One of the ten domains, from its original data set to a packed file, with the truth of its test images beside."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from decathlon.data.ground_truth import SUFFIX, truth_folder
from decathlon.data_prep.originals import domains
from decathlon.data_prep.originals.challenge_split import plan
from decathlon.data_prep.packing.extend import extend, refuse_there
from decathlon.data_prep.packing.pipeline import Packing, Prepared
from decathlon.data_prep.packing.test_labels import answers, answers_appearing, without_answers
from decathlon.data_prep.sources.file_tree import open_tree
from decathlon.errors import unknown
from decathlon.system.files import refuse_existing


@dataclass(frozen=True)
class Request:
    """What to build: the domain `name` from the files at `sources`, into or beside what is in `output`.

    `annotations` is a folder or archive of the official annotations, `truth` the folder for the test labels,
    None for the one beside `output`.
    """

    name: str
    sources: tuple[Path, ...]
    output: Path
    annotations: Path | None = None
    truth: Path | None = None


def build(request: Request, how: Packing, force: bool = False) -> tuple[Prepared, Path]:
    """Pack one of the ten domains from its original; write the labels of its test images beside.

    Return what was packed and the file of the labels.

    Raises DataError for what is missing or wrong in the original, UsageError when something would be overwritten
    without `force`, and what `extend` raises.
    """
    original, output = find(request.name), request.output
    truth = request.truth or truth_folder(output)
    truth_file = truth / f"{request.name}{SUFFIX}"
    refuse_there(output, [request.name], force, truth_file)
    if not force:
        refuse_existing(truth_file, "choose another folder or add --force")
    tree = open_tree(request.sources, original.LAYOUT)
    domain, lines = plan(request.name, original.read(tree), request.annotations)
    for line in lines:
        how.say(line)
    with answers_appearing(truth_file, answers(domain)):  # both appear, or after an error none does
        return extend(output, [without_answers(domain)], how, force), truth_file


def names() -> list[str]:
    """Return the domains that can be built: the files of `originals/domains/`."""
    return sorted(entry.name.replace("_", "-") for entry in pkgutil.iter_modules(domains.__path__))


def find(name: str) -> ModuleType:
    """Return the file of `originals/domains/` for a domain; raises UsageError with the nearest name there is."""
    if name not in names():
        raise unknown("domain", name, names())
    return importlib.import_module(f"decathlon.data_prep.originals.domains.{name.replace('-', '_')}")
