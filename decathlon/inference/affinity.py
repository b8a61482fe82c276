"""How alike the domains of a finished run are, by one of several measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError
from decathlon.inference.similarity import Measure, features, matrix, table
from decathlon.models.trunks.trunk import Trunk
from decathlon.runs.loading import LoadedRun, load_run
from decathlon.runs.logs import read_metrics
from decathlon.runs.run_directory import Run
from decathlon.runs.seed_group import refuse_group

Affinity = dict[str, dict[str, float]]


def affinity(
    folder: Path, by: str, data: Path | None = None, tap: int = -1, images: int = 20, epoch: int | None = None
) -> tuple[Affinity, str]:
    """Return a table of all pairs of a run's domains, and what it shows.

    `by` is `cka` or `rsa` (features of `images` images of each domain in `data` at a tap), `gradients` (the cosines
    that the run recorded, in one epoch or on average) or `prior` (of a run of method relationship). Raises
    UsageError where the run has nothing of the kind.
    """
    refuse_group(folder)
    if by == "gradients":
        return by_gradients(folder, epoch)
    if by == "prior":
        return by_prior(folder)
    measure: Measure = "rsa" if by == "rsa" else "cka"
    run = load_run(folder, "cpu")
    taps = _taps(run, data, images)
    if not -len(taps) <= tap < len(taps):
        raise UsageError(f"{run.record.trunk.name} has taps 0 to {len(taps) - 1}, not {tap}. Choose one of them.")
    title = f"{folder}: {measure.upper()} of features at tap {tap % len(taps)}, {images} images a domain"
    return table(taps[tap], measure), title


def _taps(run: LoadedRun, data: Path | None, images: int) -> list[dict[str, Tensor]]:
    assert data is not None
    with PackedFile(data) as packed:
        missing = [name for name in run.networks if name not in packed.benchmark.names]
        if missing:
            raise UsageError(f"{data} does not hold {missing[0]}, which {run.folder} learned. Name another file.")
        return features(run, packed, images)


def affinities(
    folder: Path, by: str, data: Path | None, images: int
) -> tuple[list[Affinity], Trunk, list[nn.Module]]:
    """Return a table for every stage of a run's trunk, the trunk, and its stages.

    A stage's table is that of the features at its end; the one of gradients is the same for all stages. Raises
    UsageError for a trunk whose stages have no names of their own.
    """
    refuse_group(folder)
    run = load_run(folder, "cpu")
    trunk = run.model.trunk
    count = len(trunk.tap_channels) - 1
    stages = [getattr(trunk, f"stage{number}", None) for number in range(1, count + 1)]
    known = [stage for stage in stages if isinstance(stage, nn.Module)]
    if len(known) < count:
        raise UsageError(f"{trunk.name} has no stages that could branch. Use a trunk like wrn-28-4 or resnet26.")
    if by == "gradients":
        return [by_gradients(folder, None)[0]] * count, trunk, known
    measure: Measure = "rsa" if by == "rsa" else "cka"
    return [table(tap, measure) for tap in _taps(run, data, images)[1:]], trunk, known


def by_gradients(folder: Path, epoch: int | None) -> tuple[Affinity, str]:
    """Return the cosines of the domains' gradients that a run recorded."""
    run = Run(folder)
    run.read_done()
    rows = [row for row in read_metrics(run.metrics) if "gradient_cosines" in row]
    epochs = sorted({row["epoch"] for row in rows})
    if not rows:
        raise UsageError(f"{folder} has no record of gradients. Train it with affinity = true in its recipe.")
    if epoch is not None and epoch not in epochs:
        raise UsageError(f"{folder} has epochs 1 to {epochs[-1]}, not {epoch}. Choose one of them.")
    kept = [row for row in rows if epoch in (None, row["epoch"])]
    names = list(dict.fromkeys(row["domain"] for row in kept))
    means = {name: _mean([row["gradient_cosines"] for row in kept if row["domain"] == name]) for name in names}
    when = f"epoch {epoch}" if epoch else f"mean over {len(epochs)} epochs"
    return means, f"{folder}: cosines of the gradients of the trunk, {when}"


def _mean(rows: list[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def by_prior(folder: Path) -> tuple[Affinity, str]:
    """Return the correlations of the domains in the prior of method relationship."""
    run = load_run(folder, "cpu")
    found, names = run.model.method.relation(run.networks), list(run.networks)
    if found is None:
        raise UsageError(f"{folder} is a run of {run.record.method}. --by prior needs one of relationship.")
    scale = found.diagonal().sqrt()
    correlations = (found / scale.outer(scale)).tolist()
    title = f"{folder}: correlations of the domains in the prior of relationship"
    return matrix(names, lambda one, two: correlations[names.index(one)][names.index(two)]), title
