"""Recognise the format of a data set, and read it."""

from __future__ import annotations

import shlex
from pathlib import Path

from decathlon.data_prep.challenge.layout import ANNOTATIONS
from decathlon.data_prep.custom.class_folders import read_folder
from decathlon.data_prep.custom.coco_annotation import read_annotation
from decathlon.data_prep.custom.collection import Collection
from decathlon.data_prep.custom.csv_table import read_table
from decathlon.data_prep.custom.huggingface import is_huggingface, read_huggingface
from decathlon.data_prep.sources.archives import is_archive
from decathlon.errors import DataError, UsageError

FORMS = "a folder of class folders, a CSV file path,label[,split], a COCO annotation file or a Hugging Face folder"


def read_collection(path: Path) -> Collection:
    """Read the data set at a path.

    Raises UsageError if nothing is there, or a format that another command reads; DataError for unknown formats
    and bad data sets.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist. Pass to --from {FORMS}.")
    if path.is_dir():
        return _read_folder(path)
    if path.suffix.lower() in (".csv", ".json"):
        return read_table(path) if path.suffix.lower() == ".csv" else read_annotation(path)
    if is_archive(path) or path.suffix.lower() == ".zip":
        raise UsageError(f"{path} is an archive. Unpack it and pass its content.")
    raise DataError(f"{path} is not a data set. Pass to --from {FORMS}.")


def _read_folder(path: Path) -> Collection:
    if is_huggingface(path):
        return read_huggingface(path)
    if any((path / ANNOTATIONS).glob("*_train.json")):
        pack = f"decathlon data prepare {shlex.quote(str(path))} -o FILE.h5"
        raise UsageError(f"{path} is a benchmark in the official layout. Pack it with: {pack}")
    return read_folder(path)
