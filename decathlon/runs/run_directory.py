"""A run directory: the request, the weights and the logs of one training run.

run.json                     the record: method, trunk, recipe, domains, seed, versions, all resolved
trunk.safetensors            what the domains share
domains/<name>.safetensors   what belongs to one domain alone: its delta
metrics.jsonl                a line per epoch and domain; the same in every repetition
timing.jsonl                 a line per epoch as it ran: seconds and images; an interrupted epoch may appear twice
start.safetensors            what training starts from; removed when the run is done
checkpoint.safetensors       where to resume from; removed when the run is done
checkpoint-1.safetensors     the checkpoint before it
footprint.json results.json score.json; of the validation split results-val.json score-val.json
"""

import json
import os
import shlex
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Any

from torch import Tensor

from decathlon.data.domains import Domain
from decathlon.errors import DataError, UsageError
from decathlon.runs.record import RECORD, RunRecord, read_record
from decathlon.runs.seed_group import refuse_group
from decathlon.system.files import read_bytes, sha256, write_bytes
from decathlon.system.locks import locked, refuse_lost
from decathlon.system.resources import writing
from decathlon.system.tensor_files import write_tensors

TRUNK = {"name": str, "fingerprint": str, "method": str}  # of the metadata in trunk.safetensors
DOMAIN = {"domain": str, "method": str, "trunk": str, "fit": str, "categories": [int], "facts": dict}
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

    def read(self) -> RunRecord:
        """Return the record; raises DataError for a folder that holds no run, UsageError for a group of runs."""
        refuse_group(self.folder)
        if not (self.folder / RECORD).is_file():
            raise DataError(
                f"{self.folder} is not a run directory: it has no {RECORD}. Name one that 'train' made."
            )
        if self.metrics.exists() and not self.metrics.is_file():
            raise DataError(f"{self.metrics} is not a file. Remove it and restore the original.")
        return read_record(self.folder / RECORD)

    def read_done(self) -> RunRecord:
        """Return the record of a run that has finished training; raises UsageError for another."""
        record = self.read()
        if record.status == "diverged":
            raise UsageError(
                f"{self.folder} diverged. Train it again under another name with a smaller --lr, or resume it from "
                "its last good state with a smaller --lr and --allow-change."
            )
        if record.status != "done":
            command = f"decathlon train --resume -o {shlex.quote(str(self.folder))}"
            raise UsageError(f"{self.folder} has not finished training. Run '{command}' first.")
        return record

    def write(self, record: RunRecord) -> None:
        """Write run.json, with the SHA-256 of all other files once the run is done."""
        replace(record, files=self.digests() if record.status == "done" else {}).write(self.folder)

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of every file that is the same in every repetition of the run, by its path."""
        kept = [self.trunk, *sorted((self.folder / "domains").glob("*.safetensors"))]
        kept += [self.folder / "footprint.json", self.metrics]
        return {file.relative_to(self.folder).as_posix(): sha256(file) for file in kept if file.is_file()}

    def trained_domains(self, record: RunRecord) -> list[str]:
        """Return the domains that have finished training, in the order of the run."""
        return [name for name in record.names if self.domain(name).is_file()]

    def write_domain(self, domain: Domain, delta: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Write a domain's delta with its facts and the category id of every output: neither is guessed later."""
        facts = {"categories": domain.category_ids, "facts": asdict(domain)}
        write_tensors(self.domain(domain.name), delta, about | facts)

    def append(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Append JSON lines to a file of the run: all of them or, where they cannot be written, none."""
        refuse_lost(self.folder / name)
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
