"""The two newest checkpoints of a run: where the newer one is damaged, training resumes from the older.

Each holds the whole state, so either leads to the same end, bit by bit. At every moment of writing, at least one of
the two is on the disk and whole: a new one is complete before anything is renamed.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from decathlon.errors import DataError, VerificationError
from decathlon.runs.run_directory import Run
from decathlon.system.schema import within
from decathlon.system.tensor_files import read_tensors, write_tensors

COUNT = within(int, 0, 10**12)
CHECKPOINT = {
    "begun": str, "job": COUNT, "step": COUNT, "metrics": COUNT, "metrics_sha256": str,
    "finished": {str: str}, "optimizer": dict, "groups": [[dict]], "best?": {"epoch": COUNT, "accuracy": float},
}  # fmt: skip
State = tuple[dict[str, Tensor], dict[str, Any]]


class Checkpoints:
    """Reads, writes and removes the checkpoints of a run."""

    def __init__(self, run: Run, begun: str) -> None:
        """Take the run and the SHA-256 of the record it began with."""
        self.run = run
        self._begun = begun
        self._whole = True  # whether the newest is fit to become the older one

    def read(self, say: Callable[[str], None]) -> State | None:
        """Return the newest checkpoint that is whole, None where a run has none; `say` is called with warnings.

        Raises VerificationError where there are checkpoints and none is whole.
        """
        newest, older = self.run.checkpoint, self.run.older_checkpoint
        wrong = list[str]()
        for path in [path for path in (newest, older) if path.exists()]:
            state = self.read_one(path)
            if isinstance(state, str):
                self._whole = False
                wrong.append(state)
                continue
            if path == older:
                what = wrong[0] if wrong else f"{newest.name} is missing"
                say(f"Warning: {what}. Resuming from the one before it, {older.name}, to the same end.")
            return state
        if wrong:
            raise VerificationError(
                f"{self.run.folder} has no usable checkpoint ({' and '.join(dict.fromkeys(wrong))}). Restore a "
                "copy, or remove the checkpoints and metrics.jsonl and resume, which starts the run over."
            )
        return None

    def write(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Write the newest checkpoint; the one before it is kept, unless it was found damaged."""
        keep = self.run.older_checkpoint if self._whole else None
        metrics = self.run.metrics.read_bytes() if self.run.metrics.exists() else b""
        about = {
            "begun": self._begun,
            "metrics": len(metrics),
            "metrics_sha256": hashlib.sha256(metrics).hexdigest(),
        }
        write_tensors(self.run.checkpoint, tensors, {**values, **about}, keep)
        self._whole = True

    def read_one(self, path: Path) -> State | str:
        """Return what a checkpoint holds, or in words why training cannot resume from it."""
        try:
            tensors, values = read_tensors(path, CHECKPOINT)
        except (DataError, VerificationError):
            return f"{path.name} is damaged"
        if values["begun"] != self._begun:
            return f"{path.name} belongs to another run"
        metrics = self.run.metrics.read_bytes() if self.run.metrics.exists() else b""
        if hashlib.sha256(metrics[: values["metrics"]]).hexdigest() != values["metrics_sha256"]:
            return f"{self.run.metrics.name} is damaged"
        return tensors, values

    def remove(self) -> None:
        """Remove both."""
        for path in (self.run.checkpoint, self.run.older_checkpoint):
            path.unlink(missing_ok=True)
