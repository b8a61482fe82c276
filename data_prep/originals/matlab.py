"""Matlab's files, read by scipy where it is installed: only three of the ten originals need it."""

from __future__ import annotations

import io
from typing import Any

from decathlon.errors import DataError, UsageError


def read_mat(data: bytes, name: str, *variables: str) -> list[Any]:
    """Return variables of a .mat file as scipy's `loadmat` does.

    Raises UsageError when scipy is not installed, DataError naming the file when it is damaged or lacks one.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise UsageError(f"reading {name} needs scipy: pip install scipy.") from None
    try:
        found = loadmat(io.BytesIO(data), variable_names=variables)
    except Exception as error:  # scipy documents none; damage ends in a dozen kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name} is no sound Matlab file ({reason}): copy or download it again.") from None
    for variable in variables:
        if variable not in found:
            raise DataError(f"{name} holds no {variable}: take the file from the original.")
    return [found[variable] for variable in variables]
