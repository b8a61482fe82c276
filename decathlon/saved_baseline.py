"""The errors of a run kept as a baseline: a small JSON file that others are scored against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decathlon.errors import DataError
from decathlon.protocol import protocol_text
from decathlon.score import Score
from decathlon.system.checksums import read_sealed
from decathlon.system.schema import find_fault, within

SHAPE = {"baseline_errors": {str: {"error": float, "images": within(int, 1, 10**12)}}, "baseline": str}
MAKE = "make one with 'decathlon score RUN --truth PATH --save-baseline FILE.json'"


@dataclass(frozen=True)
class SavedBaseline:
    """Errors in 0..1 by domain and the number of test images they were measured on; `text` says how."""

    text: str
    errors: Mapping[str, float]
    images: Mapping[str, int]

    @classmethod
    def of(cls, score: Score) -> SavedBaseline:
        """Return the errors of a score, or of the mean over a group."""
        protocol = score.protocol or {}
        told = [str(protocol["method"])] if "method" in protocol else []
        text = ", ".join([*told, protocol_text(protocol) or "protocol unknown"])
        return cls(text, {d.name: d.error for d in score.domains}, {d.name: d.images for d in score.domains})

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and numbers; `read` is the way back."""
        domains = {name: {"error": error, "images": self.images[name]} for name, error in self.errors.items()}
        return {"baseline_errors": domains, "baseline": self.text}

    @classmethod
    def read(cls, path: Path) -> SavedBaseline | None:
        """Read a baseline; return None when the file is none, raise DataError when it holds other than errors."""
        data = None if path.is_dir() else read_sealed(path, MAKE)
        if not isinstance(data, dict) or "baseline_errors" not in data:
            return None
        fault = find_fault(data, SHAPE)
        if fault:
            raise DataError(f"{path} is no baseline ({fault}): {MAKE}.")
        errors = {name: float(entry["error"]) for name, entry in data["baseline_errors"].items()}
        images = {name: entry["images"] for name, entry in data["baseline_errors"].items()}
        for name, error in errors.items():
            if not 0 <= error <= 1:
                raise DataError(f"{path}: the error {error} of {name} is not between 0 and 1: correct it.")
        return cls(data["baseline"], errors, images)
