"""Training commands that are killed: begun, taken up again and compared at their end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from decathlon.experiments.verify import verify
from decathlon.runs.run_directory import TIMING_FILE
from decathlon.system.files import sha256
from decathlon.system.tensor_files import read_tensors
from tests.helpers import kill_points as points
from tests.helpers.kills import KILLED, Child, Hook

OPTIONS = "--epochs 3 --batch 8 --size 16 --lr 0.05 --precision fp32 --threads 1".split()
NOT_COMPARED = (".lock", TIMING_FILE)  # timings are of a machine's day


@dataclass(frozen=True)
class Training:
    """A training command, the folder its runs go to, and what each of its processes does besides."""

    folder: Path
    words: Sequence[object]
    hooks: Sequence[Hook] = ()

    def go(self, name: str, *more: Hook, moment: float | None = None) -> int:
        """Begin the run `name` or go on with it, in a process that may be killed after `moment` seconds.

        Returns its exit code: that of an end without fault, or `KILLED`.
        """
        child = self.start(name, *more)
        code = child.end(moment)
        assert code in (0, KILLED), child.said()
        return code

    def start(self, name: str, *more: Hook) -> Child:
        """Begin the run `name` in a process, or go on with it."""
        out = self.folder / name
        begun = (out / "run.json").is_file()
        words = ["train", *(["--resume"] if begun else self.words), "-o", out]
        keep = partial(points.keep_states, self.folder / f"{name}-states")
        return Child(words, self.folder / f"{name}.log", [*self.hooks, keep, *more])

    def digests(self, name: str) -> dict[str, str]:
        """Return the SHA-256 of all that a finished run leaves, and of the last state of its optimizers."""
        assert not [row.wrong for row in verify(self.folder / name) if row.wrong]
        found: dict[str, str] = {}
        for kept in ("", "-states"):
            folder = self.folder / f"{name}{kept}"
            files = [path for path in folder.rglob("*") if path.is_file() and path.name not in NOT_COMPARED]
            found |= {f"{kept}/{path.relative_to(folder)}": sha256(path) for path in files}
        return found

    def reached(self, name: str) -> str:
        """Return how far a killed run had come; every file of it is whole."""
        folder = self.folder / name
        if not (folder / "run.json").is_file():
            return "before run.json"
        assert not [row.wrong for row in verify(folder) if row.wrong]
        steps = []
        for path in folder.rglob("[!.]*.safetensors"):
            about = read_tensors(path)[1]
            steps += [f"job {about['job']} step {about['step']:02}"] if "step" in about else []
        return max(steps, default="before a checkpoint")


def killed(
    training: Training, name: str, forced: Sequence[Hook], moments: Iterator[float], most: int
) -> Iterator[str]:
    """Kill a run at the forced points and up to `most` times more; yield how far it had come each time."""
    for point in forced:
        assert training.go(name, point) == KILLED
        yield training.reached(name)
    for _ in range(most):
        if training.go(name, moment=next(moments)) == 0:
            return
        yield training.reached(name)
