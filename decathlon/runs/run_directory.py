"""A run directory: everything one training run was asked, learned and reached.

run.json                 what was asked, resolved: method, trunk, recipe, domains, seed, versions
trunk.safetensors        what the domains share
domains/<name>.safetensors   what is a domain's own: the delta
metrics.jsonl            a line per epoch and domain; the same in every repetition
timing.jsonl             a line per epoch as it ran: seconds and images; one that was interrupted may stand twice
start.safetensors        where to begin; gone when the run is done
checkpoint.safetensors checkpoint-1.safetensors  where to resume, and the one before it; gone when the run is done
footprint.json results.json score.json
"""

from __future__ import annotations

import json
import os
import shlex
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from torch import Tensor

from decathlon.data.domains import Benchmark, Domain
from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.runs.record import read_asked
from decathlon.runs.seed_group import refuse_group
from decathlon.system.checksums import AGAIN, FILES, read_sealed, write_sealed
from decathlon.system.files import read_bytes, sha256, write_bytes
from decathlon.system.locks import locked
from decathlon.system.resources import writing
from decathlon.system.tensor_files import read_tensors, write_tensors

TRUNK = {"name": str, "fingerprint": str, "method": str}  # of the metadata in trunk.safetensors
DOMAIN = {"domain": str, "method": str, "trunk": str, "fit": str, "categories": [int], "facts?": dict}
TIMING_FILE = "timing.jsonl"


@dataclass(frozen=True)
class Run:
    """Names and readers of the files in a run directory."""

    folder: Path

    @property
    def trunk(self) -> Path:
        """The file of what all domains share."""
        return self.folder / "trunk.safetensors"

    @property
    def checkpoint(self) -> Path:
        """The file to resume from."""
        return self.folder / "checkpoint.safetensors"

    @property
    def older_checkpoint(self) -> Path:
        """The file to resume from where the newest is damaged."""
        return self.folder / "checkpoint-1.safetensors"

    @property
    def start(self) -> Path:
        """The file of what training starts from."""
        return self.folder / "start.safetensors"

    @property
    def metrics(self) -> Path:
        """The file of losses and accuracies by epoch."""
        return self.folder / "metrics.jsonl"

    def domain(self, name: str) -> Path:
        """The file of one domain's delta."""
        return self.folder / "domains" / f"{name}.safetensors"

    def blank(self) -> bool:
        """Say whether the folder is empty, or holds only what a run leaves that was killed before it began."""
        if not self.folder.is_dir():
            return False
        ours = (".lock", self.start.name, f".{self.start.name}.", ".run.json.")
        return all(entry.name in ours or entry.name.startswith(ours[2:]) for entry in self.folder.iterdir())

    def read(self) -> dict[str, Any]:
        """Return run.json; raises DataError when the folder is no run directory, UsageError for a group of runs."""
        refuse_group(self.folder)
        if not (self.folder / "run.json").is_file():
            raise DataError(f"{self.folder} is no run directory: it has no run.json; give one that 'train' made.")
        if self.metrics.exists() and not self.metrics.is_file():
            raise DataError(f"{self.metrics} is no file: remove it, and put back its own.")
        return read_asked(self.folder / "run.json")

    def read_done(self) -> dict[str, Any]:
        """Return run.json of a run that is trained to the end; raises UsageError for another."""
        asked = self.read()
        if asked["status"] == "diverged":
            raise UsageError(
                f"{self.folder} diverged: train it again under another name with a smaller --lr, or add that and "
                "--allow-change to --resume, which goes on from its last good state."
            )
        if asked["status"] != "done":
            way = f"decathlon train --resume -o {shlex.quote(str(self.folder))}"
            raise UsageError(f"{self.folder} is not trained to the end: '{way}'.")
        return asked

    def write(self, asked: dict[str, Any]) -> None:
        """Write run.json, with the SHA-256 of all other files once the run is done."""
        done = asked["status"] == "done"
        write_sealed(self.folder / "run.json", asked | ({FILES: self.digests()} if done else {}))

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of every file that is the same in every repetition of the run, by its path."""
        kept = [self.trunk, *sorted((self.folder / "domains").glob("*.safetensors"))]
        kept += [self.folder / "footprint.json", self.metrics]
        return {file.relative_to(self.folder).as_posix(): sha256(file) for file in kept if file.is_file()}

    def check_files(self) -> None:
        """Raise VerificationError where a file that training left is missing, or not the one run.json lists."""
        file = self.folder / "run.json"
        listed = read_sealed(file, AGAIN).get(FILES, {})
        wanted = {f"domains/{entry['name']}.safetensors" for entry in self.read()["domains"]}
        for name in sorted(wanted | {name for name in listed if name.endswith(".safetensors")}):
            path = self.folder / name
            if not path.is_file():
                raise VerificationError(f"{path} is missing, though {file} names it: {AGAIN}.")
            if name in listed and sha256(path) != listed[name]:
                raise VerificationError(f"{path} is not what {file} says training wrote: {AGAIN}.")

    def domains(self) -> list[str]:
        """Return the domains that are trained to the end, in the order of the run."""
        return [entry["name"] for entry in self.read()["domains"] if self.domain(entry["name"]).is_file()]

    def write_domain(self, domain: Domain, delta: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Write a domain's delta with its facts and the category id of every output: neither is guessed later."""
        facts = {"categories": domain.category_ids, "facts": asdict(domain)}
        write_tensors(self.domain(domain.name), delta, about | facts)

    def facts(self, name: str) -> Domain:
        """Return what the run knows of a domain: categories, and how its images are cut and normalised.

        Raises DataError when it was trained by a release that did not write that down.
        """
        file = self.domain(name)
        about = read_tensors(file, DOMAIN)[1]
        if "facts" not in about:
            raise DataError(f"{file} does not say how images of {name} are normalised: train it with this release.")
        return Benchmark.from_json({"name": "", "domains": [about["facts"]]}, str(file))[name]

    def read_domain(self, name: str, trunk: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return a domain's delta and what its file says; raises VerificationError over another trunk."""
        tensors, about = read_tensors(self.domain(name), DOMAIN)
        if about["domain"] != name:
            raise VerificationError(f"{self.domain(name)} holds domain {about['domain']}: put back its own file.")
        if about.get("trunk") != trunk:
            raise VerificationError(
                f"{self.domain(name)} was trained over another trunk than {self.trunk}: "
                "put back the trunk of its own run, or train the domain again."
            )
        return tensors, about

    def append(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Append JSON lines to a file of the run: all of them or, where they cannot be written, none."""
        data = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()
        with writing(self.folder / name), open(self.folder / name, "a+b", buffering=0) as file:
            length = _whole_lines(file)
            file.truncate(length)
            try:
                while data:  # a disk that gets full takes a part first
                    data = data[file.write(data) :]
                os.fsync(file.fileno())  # a checkpoint that counts on these lines comes after them
            except OSError:
                file.truncate(length)
                raise

    def cut_metrics(self, length: int) -> None:
        """Shorten the metrics to what a checkpoint knows of; later lines will be written again."""
        kept = read_bytes(self.metrics)[:length] if self.metrics.exists() else b""
        write_bytes(self.metrics, kept)


def _whole_lines(file: FileIO) -> int:
    """Return the length of a file up to the end of its last whole line: a power cut may have left half of one."""
    file.seek(0)
    return file.read().rfind(b"\n") + 1


def hold(run: Run) -> AbstractContextManager[None]:
    """Hold the lock of a run directory; raises DataError where there is none, BusyError when another has it."""
    if not run.folder.is_dir():
        raise DataError(f"{run.folder} does not exist: begin it without --resume.")
    return locked(run.folder / ".lock", run.folder, "is being trained")
