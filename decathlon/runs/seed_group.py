"""A group: the runs of one request repeated over seeds, in one folder.

seeds.json       the seeds and all that was asked, written before the first run: what is missing can be begun later
seed-<seed>/     an ordinary run directory for every seed
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.system.checksums import AGAIN, read_sealed, write_sealed
from decathlon.system.schema import check, path, within

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
    },
}


@dataclass(frozen=True)
class Group:
    """A folder of runs that differ in their seed alone; `asked` is their request as plain JSON."""

    folder: Path
    seeds: tuple[int, ...]
    asked: Mapping[str, Any]

    @property
    def runs(self) -> dict[int, Path]:
        """The run directory of every seed, trained or not."""
        return {seed: self.folder / f"seed-{seed}" for seed in self.seeds}

    def finished(self, seed: int) -> Path:
        """Return the run directory of a seed; raises UsageError when it is not there or not trained to the end."""
        if seed not in self.seeds:
            raise UsageError(
                f"{self.folder} has no run of seed {seed}, only of {seeds_text(self.seeds)}: ask for those."
            )
        reached = status(self.runs[seed])
        if reached == "diverged":
            raise UsageError(
                f"seed {seed} of {self.folder} diverged: train all seeds under another name with a smaller --lr."
            )
        if reached != "done":
            raise UsageError(
                f"seed {seed} of {self.folder} is not trained to the end: "
                f"'decathlon train --resume -o {shlex.quote(str(self.folder))}'."
            )
        self.refuse_foreign(seed)
        return self.runs[seed]

    def refuse_foreign(self, seed: int) -> None:
        """Raise VerificationError where another run stands in the place of a seed's: it would count twice."""
        run = self.runs[seed]
        asked = read_sealed(run / "run.json", AGAIN)
        wanted = {"seed": seed, "method": self.asked["method"], "recipe": self.asked["recipe"]}
        for name, value in wanted.items():
            if asked.get(name) != value and not _old(asked.get(name), value):
                raise VerificationError(
                    f"{run} is no run of this group, its {name} is another: put back its own, or remove it and "
                    f"go on with 'decathlon train --resume -o {shlex.quote(str(self.folder))}'."
                )

    def every(self) -> dict[int, Path]:
        """Return the run directories of all seeds; raises UsageError naming the first that is not finished."""
        return {seed: self.finished(seed) for seed in self.seeds}

    def write(self) -> None:
        """Write seeds.json."""
        write_sealed(self.folder / SEEDS, {"format": 1, "seeds": list(self.seeds), "asked": dict(self.asked)})


def _old(found: Any, wanted: Any) -> bool:
    """Say whether two recipes differ only in knobs that one of two releases did not know."""
    both = isinstance(found, dict) and isinstance(wanted, Mapping)
    return both and all(found[knob] == wanted[knob] for knob in found.keys() & wanted.keys())


def find_group(folder: Path) -> Group | None:
    """Return the group in a folder, None when it holds none; raises DataError when seeds.json is damaged."""
    file = folder / SEEDS
    if not file.is_file():
        return None
    data = read_sealed(file, AGAIN)
    check(data, SHAPE, str(file), AGAIN)
    seeds = tuple(data["seeds"])
    if not seeds or len(set(seeds)) < len(seeds):
        raise DataError(f"{file} is damaged: it names no seed or one twice; {AGAIN}.")
    return Group(folder, seeds, data["asked"])


def refuse_group(folder: Path) -> None:
    """Raise UsageError where a single run is needed and the folder holds a group."""
    group = find_group(folder)
    if group is not None:
        one = next(iter(group.runs.values()))
        raise UsageError(
            f"{folder} is a group of runs ({seeds_text(group.seeds)}) where one is needed: name {one}."
        )


def status(run: Path) -> str | None:
    """Return how far a run directory says it came, None where nothing says so; loads no torch."""
    file = run / "run.json"
    if not file.exists():
        return None
    data = read_sealed(file, AGAIN)
    check(data, {"status": Literal["running", "done", "diverged"]}, str(file), AGAIN)
    return str(data["status"])


def seeds_text(seeds: Sequence[int]) -> str:
    """Return consecutive seeds in short, as `seeds 0-2` or `seed 0`."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}-{seeds[-1]}"
