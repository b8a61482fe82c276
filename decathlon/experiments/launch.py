"""Training a new run: the request is checked, resolved and recorded, then carried out to the end."""

from dataclasses import asdict, replace

import torch

from decathlon.data.domains import Domain
from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError
from decathlon.experiments.preflight import (
    check_kept,
    check_possible,
    check_size,
    check_source,
    check_splits,
    continued_notes,
    enlarged_notes,
    own_heads,
    preflight_notes,
    trained_heads,
    trunk_changes,
)
from decathlon.experiments.request import Request
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.registry import find_method
from decathlon.runs.initial_state import write_start
from decathlon.runs.record import RecordedData, RecordedDomain, RecordedTrunk, RunRecord
from decathlon.runs.run_directory import Run, hold
from decathlon.runs.trunk_source import TrunkSource, find_trunk
from decathlon.system.device import find_device, use_bf16, versions
from decathlon.system.files import refuse_existing, sha256
from decathlon.system.progress import TrainingProgress
from decathlon.system.seeding import seeded
from decathlon.training.loop import Training, domain_groups


def train(request: Request, progress: TrainingProgress | None = None) -> Run:
    """Train a new run in the folder `request.out` to its end and return it; progress goes to standard error.

    Raises UsageError when the folder exists or the request cannot be met, DataError for a bad packed file,
    DivergedError when the loss is no longer finite.
    """
    progress = progress or TrainingProgress()
    device, kind = find_device(request.device), find_method(request.method)
    options = kind.choose(request.options)
    run = Run(request.out)
    _refuse_begun(run)
    with PackedFile(request.data) as packed:
        domains = [packed.benchmark[name] for name in dict.fromkeys(request.domains or packed.benchmark.names)]
        check_splits(packed, domains, request.fit)
        source = find_trunk(kind.trunk_name(request.trunk, options), request.seed)
        with seeded(request.seed, "shared"):
            method = kind(source.trunk, request.regime, options)
            names = [domain.name for domain in domains]
            check_source(source, method, names)
            starts = method.prepare(source.learned, names)
        check_possible(method, request.recipe, names, device)
        check_kept(packed, names, request.fit, request.recipe)
        notes = preflight_notes(source, method, request.recipe, packed.benchmark.names)
        notes += enlarged_notes(packed, domains, request.recipe, request.fit)
        if request.recipe.heads == "kept":
            starts = trained_heads(source, method, names, starts)
        starts, heads = own_heads(source, domains, starts)
        changes = trunk_changes(source, method, packed, names)
        for change in changes:
            notes.append(
                f"{source.source} was trained on other images of {change.now} than {packed.path} holds, and "
                "perhaps on some that will be predicted. The protocol of this run will say so."
            )
        for note in [*notes, *continued_notes(source, method, names), *heads, *method.notes()]:
            progress.console.print(f"Note: {note}")
        model = MultiDomainModel(method, request.seed, device, source.norms_for(method, names), starts)
        check_size(model, request.recipe, names)
        domain_groups(tuple(names), model, request.recipe)  # refused before anything is written
        record = replace(_record(request, packed, domains, model, source), changes=changes)
        record.check()
        run.folder.mkdir(parents=True, exist_ok=True)
        with hold(run):
            _refuse_begun(run)  # again: another process may have started it meanwhile
            write_start(run, model)
            record = record.beginning(start=sha256(run.start))
            run.write(record)
            Training(run, record, packed, model, progress).train()
    return run


def _refuse_begun(run: Run) -> None:
    if run.folder.is_file():
        raise UsageError(f"{run.folder} is a file. Name a folder to create.")
    if not run.blank():
        refuse_existing(run.folder, "choose another name, or continue it with --resume")


def _record(
    request: Request, packed: PackedFile, domains: list[Domain], model: MultiDomainModel, source: TrunkSource
) -> RunRecord:
    """Return the record of a request: everything it leaves open is resolved."""
    splits = request.fit.split("+")
    return RunRecord(
        method=request.method,
        label=model.method.label(model.method.options),
        options=asdict(model.method.options),
        regime=model.method.regime,
        trunk=RecordedTrunk(model.trunk.name, source.source, source.trained),
        recipe=request.recipe,
        fit=request.fit,
        seed=request.seed,
        starts_from_own_norms=tuple(sorted(model.norms)),
        domains=tuple(
            RecordedDomain(
                d.name,
                d.category_ids,
                sum(packed.count(d.name, split) for split in splits),
                packed.digests(d.name),
            )  # fmt: skip
            for d in domains
        ),
        benchmark=packed.benchmark.name,
        data=RecordedData(request.data.resolve(), packed.digest),
        device=str(model.device),
        bf16=use_bf16(request.recipe.precision, model.device),
        threads=torch.get_num_threads(),
        versions=versions(),
    )
