"""A group: the runs of one request repeated over seeds, in one folder.

seeds.json       the seeds and the request, written before the first run, so that missing runs can be started later
seed-<seed>/     an ordinary run directory for every seed
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from decathlon.config.recipe import Recipe
from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.runs.record import RECORD, read_record, read_status
from decathlon.system.checksums import RESTORE, read_sealed, write_sealed
from decathlon.system.schema import check, find_fault, name, path, within

SEEDS = "seeds.json"
SHAPE = {
    "format": Literal[1],
    "seeds": [int],
    "asked": {
        "data": path,
        "digest": str,
        "threads": within(int, 1, 4096),
        "method": str,
        "trunk": str,
        "recipe": dict,
        "domains?": [name],
        "regime?": (Literal["frozen", "joint", "private"], None),
        "fit?": Literal["train", "train+val"],
        "device?": (str, None),
        "options?": {str: (bool, int, float, str)},
    },
}


@dataclass(frozen=True)
class Group:
    """A folder of runs that differ in their seed alone; `request` is what they have in common, as plain JSON."""

    folder: Path
    seeds: tuple[int, ...]
    request: Mapping[str, Any]

    @property
    def runs(self) -> dict[int, Path]:
        """The run directory of every seed, trained or not."""
        return {seed: self.folder / f"seed-{seed}" for seed in self.seeds}

    def finished(self, seed: int) -> Path:
        """Return the run directory of a seed; raises UsageError when it is missing or has not finished training."""
        if seed not in self.seeds:
            raise UsageError(f"{self.folder} has no run with seed {seed}. It has {seeds_text(self.seeds)}.")
        status = read_status(self.runs[seed])
        if status == "diverged":
            raise UsageError(
                f"seed {seed} of {self.folder} diverged. Train all seeds under another name with a smaller --lr."
            )
        if status != "done":
            raise UsageError(
                f"seed {seed} of {self.folder} has not finished training. "
                f"Run 'decathlon train --resume -o {shlex.quote(str(self.folder))}' first."
            )
        self.refuse_foreign(seed)
        return self.runs[seed]

    def refuse_foreign(self, seed: int) -> None:
        """Raise VerificationError where another run is in the place of a seed's: it would count twice."""
        run = self.runs[seed]
        record = read_record(run / RECORD)
        recipe = Recipe().override(self.request["recipe"])
        wanted = {"seed": seed, "method": self.request["method"], "recipe": recipe}
        for field, value in wanted.items():
            if getattr(record, field) != value:
                raise VerificationError(
                    f"{run} is not a run of this group: its {field} differs. Restore the original, or remove it "
                    f"and run 'decathlon train --resume -o {shlex.quote(str(self.folder))}'."
                )

    def every(self) -> dict[int, Path]:
        """Return the run directories of all seeds; raises UsageError naming the first that is not finished."""
        return {seed: self.finished(seed) for seed in self.seeds}

    def to_json(self) -> dict[str, Any]:
        """Return what seeds.json holds."""
        return {"format": 1, "seeds": list(self.seeds), "asked": dict(self.request)}

    def check(self) -> None:
        """Raise UsageError for a group that could be written and never read again."""
        fault = find_fault(self.to_json(), SHAPE)
        if fault:
            raise UsageError(f"this group cannot be recorded ({fault}). Choose another value.")

    def write(self) -> None:
        """Write seeds.json."""
        write_sealed(self.folder / SEEDS, self.to_json())


def find_group(folder: Path) -> Group | None:
    """Return the group in a folder, None when it holds none; raises DataError when seeds.json is damaged."""
    file = folder / SEEDS
    if not file.is_file():
        return None
    data = read_sealed(file, RESTORE)
    check(data, SHAPE, str(file), RESTORE)
    seeds = tuple(data["seeds"])
    if not seeds or len(set(seeds)) < len(seeds):
        raise DataError(f"{file} is damaged: seeds is empty or has duplicates. {RESTORE}.")
    try:
        Recipe().override(data["asked"]["recipe"])
    except UsageError as error:
        raise DataError(f"{file} is damaged: {error}") from None
    return Group(folder, seeds, data["asked"])


def refuse_group(folder: Path) -> None:
    """Raise UsageError where a single run is needed and the folder holds a group."""
    group = find_group(folder)
    if group is not None:
        one = next(iter(group.runs.values()))
        raise UsageError(
            f"{folder} is a group of runs ({seeds_text(group.seeds)}), and this needs a single run. Name {one}."
        )


def seeds_text(seeds: Sequence[int]) -> str:
    """Return consecutive seeds in short, as `seeds 0-2` or `seed 0`."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}-{seeds[-1]}"
