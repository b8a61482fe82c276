"""The two newest checkpoints of a run: where the newer one is damaged, training goes on from the older.

Both hold the whole state, so either leads to the same end, bit by bit. At any moment of writing at least one of the
two that were there is there still, whole: a new one is complete on the disk before anything is renamed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from decathlon.errors import DataError, VerificationError
from decathlon.run import Run
from decathlon.storage import read_tensors, write_tensors

State = tuple[dict[str, Tensor], dict[str, Any]]


class Generations:
    """Reads, writes and removes the checkpoints of a run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._whole = True  # whether the newest is fit to become the older one

    def read(self, say: Callable[[str], None]) -> State | None:
        """Return the newest checkpoint that is whole, None where a run has none; `say` is told of a damaged one.

        Raises VerificationError where there are some and none is whole.
        """
        newest, older = self.run.checkpoint, self.run.older_checkpoint
        wrong = []
        for path in [path for path in (newest, older) if path.exists()]:
            try:
                state = read_tensors(path)
            except (DataError, VerificationError) as error:
                self._whole = False
                wrong.append((path.name, error))
                continue
            if path == older:
                what = f"{newest.name} is damaged" if wrong else f"there is no {newest.name}"
                say(f"Warning: {what}, going on from the one before it, {older.name}, to the same end.")
            return state
        if wrong:
            names = " and ".join(name for name, _ in wrong) + f" in {self.run.folder}"
            raise VerificationError(
                f"{names} {'is' if len(wrong) == 1 else 'are'} damaged and no other checkpoint "
                "is there: put back a copy, or remove what is damaged and resume, which begins the run anew."
            ) from wrong[0][1]
        return None

    def write(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Write the newest checkpoint; the one before it is kept, unless it was found damaged."""
        keep = self.run.older_checkpoint if self._whole else None
        write_tensors(self.run.checkpoint, tensors, values, keep)
        self._whole = True

    def remove(self) -> None:
        """Remove both."""
        for path in (self.run.checkpoint, self.run.older_checkpoint):
            path.unlink(missing_ok=True)
