"""From a run directory back to its networks: every file is read once and checked against the others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from decathlon.data.domains import Benchmark, Domain
from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.models.method import Method, Regime
from decathlon.models.multi_domain_model import DomainNetwork, MultiDomainModel, norms_of
from decathlon.models.registry import find_method
from decathlon.models.surgery import bounded
from decathlon.models.trunks.registry import build
from decathlon.models.trunks.trunk import Trunk
from decathlon.runs.record import RecordedDomain, RunRecord
from decathlon.runs.run_directory import DOMAIN, TRUNK, Run
from decathlon.system.checksums import RESTORE
from decathlon.system.device import find_device
from decathlon.system.tensor_files import TensorFile, count_numbers, read_tensor_file


@dataclass(frozen=True)
class LoadedRun:
    """A run in memory: its record, its model and, by name, its domains: categories, crop, mean and std."""

    folder: Path
    record: RunRecord
    model: MultiDomainModel
    domains: Mapping[str, Domain]

    @property
    def networks(self) -> Mapping[str, DomainNetwork]:
        """By domain, an ordinary module: normalised images (batch, 3, height, width) -> logits (batch, classes)."""
        return self.model.networks


def load_run(folder: Path | str, device: str | None = None) -> LoadedRun:
    """Return a finished run, its networks in evaluation mode, ready to predict.

    Logits come in the order of the domain's categories. `device` is cpu, cuda or cuda:N, by default a GPU where
    there is one. Raises DataError for a folder that is not a run directory, UsageError for a run that has not
    finished training or a group of runs, VerificationError for files that are damaged or do not belong together.
    """
    run = Run(Path(folder))
    loaded = load(run, run.read_done(), find_device(device))
    for network in loaded.networks.values():
        network.eval()
    return loaded


def load(run: Run, record: RunRecord, device: torch.device) -> LoadedRun:
    """Rebuild what a run trained: trunk, shared modules and every trained domain's network.

    Raises VerificationError when the files of trunk and domains do not belong together or, of a finished run, are
    not those that the record lists.
    """
    method = recorded_method(run, record)
    # domains that began from norms of their own have a place for them; what is in it now is overwritten
    norms = dict.fromkeys(record.starts_from_own_norms, norms_of(method.trunk))
    model = MultiDomainModel(method, record.seed, device, norms)
    domains, digests = dict[str, Domain](), dict[Path, str]()
    fingerprint = ""
    if method.regime != "private":
        fingerprint, digests[run.trunk] = _load_shared(run, model)
    for domain in record.domains:
        file = run.domain(domain.name)
        if file.is_file():
            stored = _read_domain(run, record, domain, fingerprint)
            model.add(domain.name, len(domain.categories))
            model.load(domain.name, stored.tensors, str(file))
            facts = {"name": "", "domains": [stored.about["facts"]]}
            domains[domain.name] = Benchmark.from_json(facts, str(file))[domain.name]
            digests[file] = stored.sha256
    if record.status == "done":
        _check_listed(run, record, digests)  # last: what was found before says more
    return LoadedRun(run.folder, record, model, domains)


def recorded_method(run: Run, record: RunRecord) -> Method:
    """Return the method of a run over its trunk, weights to be loaded; raises DataError where it does not exist.

    Raises VerificationError for a trunk that has more numbers than the files of the run hold.
    """
    files = (run.trunk, *map(run.domain, record.names), *(() if record.status == "done" else (run.start,)))
    held = sum(count_numbers(file) for file in files if file.is_file())
    asked = record.method, record.regime, record.options
    try:  # twice: what a method replaces was made before
        return bounded(2 * held, lambda: make_method(*asked, build(record.trunk.name, empty=True)))
    except ValueError as error:
        problem = f"{run.folder} does not hold the weights of {record.method} over {record.trunk.name} ({error})"
        raise VerificationError(f"{problem}. {RESTORE}.") from None
    except UsageError as error:  # the request was valid when training began: the file says something else now
        raise DataError(f"{run.folder / 'run.json'} is damaged or from another release: {error}") from None


def make_method(name: str, regime: Regime, options: Mapping[str, Any], trunk: Trunk) -> Method:
    """Return a method as a run recorded it, over a trunk."""
    kind = find_method(name)
    return kind(trunk, regime, kind.choose(options))


def _load_shared(run: Run, model: MultiDomainModel) -> tuple[str, str]:
    """Load trunk.safetensors into a model; return the fingerprint, as it was written, and the file's SHA-256."""
    stored = read_tensor_file(run.trunk, TRUNK)
    try:
        model.load_shared_state(stored.tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise VerificationError(
            f"{run.trunk} does not fit {model.trunk.name} ({reason}). Restore the trunk of its own run."
        ) from None
    fingerprint = model.fingerprint()
    if stored.about["fingerprint"] != fingerprint:
        raise VerificationError(f"{run.trunk} is damaged: its fingerprint is not what was written. {RESTORE}.")
    return fingerprint, stored.sha256


def _read_domain(run: Run, record: RunRecord, domain: RecordedDomain, fingerprint: str) -> TensorFile:
    """Return a domain's file; raises VerificationError for one of another domain, trunk, method or categories."""
    file = run.domain(domain.name)
    stored = read_tensor_file(file, DOMAIN)
    about = stored.about
    if about["domain"] != domain.name:
        raise VerificationError(f"{file} holds domain {about['domain']}. Restore its own file.")
    if about["trunk"] != fingerprint:
        raise VerificationError(
            f"{file} was trained over another trunk than {run.trunk}. "
            "Restore the trunk of its own run, or train the domain again."
        )
    if about["method"] != record.method:
        raise VerificationError(f"{file} holds method {about['method']}. Train it again.")
    if about["categories"] != list(domain.categories):
        raise VerificationError(f"{file} has other categories than run.json says. Train it again.")
    return stored


def _check_listed(run: Run, record: RunRecord, digests: Mapping[Path, str]) -> None:
    """Raise VerificationError where a file that training left is missing, or not the one that the record lists."""
    for file in _expected(run, record):
        if not file.is_file():
            raise VerificationError(f"{file} is missing, though {run.folder / 'run.json'} names it. {RESTORE}.")
        record.check_file(run.folder, file.relative_to(run.folder).as_posix(), digests.get(file, ""))


def _expected(run: Run, record: RunRecord) -> Iterator[Path]:
    """Yield the files of weights that a finished run must have."""
    names = {f"domains/{name}.safetensors" for name in record.names}
    names |= {name for name in record.files if name.endswith(".safetensors")}
    yield from (run.folder / name for name in sorted(names))
