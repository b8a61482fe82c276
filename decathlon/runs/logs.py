"""What training notes beside its weights: the lines of metrics.jsonl and timing.jsonl, and footprint.json."""

import io
from pathlib import Path
from typing import Any

from decathlon.errors import VerificationError
from decathlon.system.checksums import RESTORE, unsealed
from decathlon.system.files import read_bytes, read_json
from decathlon.system.schema import check, within
from decathlon.system.strict_json import parse_json, refuse_many

LARGEST = 32 << 20  # bytes; ten domains take some 2 kB an epoch
MOST_LINES = 200_000
PART, COUNT, ABOVE_ZERO = within(float, 0, 1), within(int, 1, 10**12), within(float, 1e-9, 1e9)
METRICS = {
    "epoch": COUNT, "step": COUNT, "domain": str, "lr": float, "train_loss": float, "train_accuracy": PART,
    "val_loss?": float, "val_accuracy?": PART, "best?": bool,
    "weighted_loss?": float, "weight?": float, "penalty?": float,
    "gradient_cosines?": {str: within(float, -1, 1)},
}  # fmt: skip
TIMING = {"epoch": COUNT, "images": COUNT, "seconds": within(float, 0, 1e9), "domains": [str]}
FOOTPRINT = {
    "ratio": ABOVE_ZERO,
    "convention?": str,
    "published?": {"convention": str, "ratio": ABOVE_ZERO},
    "conventions?": {str: ABOVE_ZERO},
    "rows?": [{"scope": str, "part": str, "tensors": COUNT, "bits": within(int, 0, 10**18)}],
}


def read_lines(file: Path, shape: Any) -> list[dict[str, Any]]:
    """Return the objects in a file of JSON lines; raises DataError naming the line that is none of its kind."""
    rows, data = [], read_bytes(file, most=LARGEST)
    refuse_many(data, str(file), 2 * MOST_LINES)  # a line of timing.jsonl has a list of domains
    for number, line in enumerate(io.BytesIO(data), 1):
        source = f"line {number} of {file}"
        row = unsealed(parse_json(line, source), source, RESTORE)
        check(row, shape, source, RESTORE)
        rows.append(row)
    return rows


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl; raises VerificationError where an epoch of a domain stands twice."""
    seen, rows = set[tuple[int, str]](), read_lines(file, METRICS)
    for row in rows:
        if (row["epoch"], row["domain"]) in seen:
            twice = f"epoch {row['epoch']} of {row['domain']} stands in it twice"
            raise VerificationError(f"{file} was written by two processes: {twice}. {RESTORE}.")
        seen.add((row["epoch"], row["domain"]))
    return rows


def read_footprint(file: Path) -> dict[str, Any]:
    """Return footprint.json; raises DataError where it holds other than counts and ratios above zero."""
    data = read_json(file)
    check(data, FOOTPRINT, str(file), RESTORE)
    return dict(data)
