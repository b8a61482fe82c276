r"""Which differences between rows of the fair table are real: a paired bootstrap over seeds and images.

    \b
    python -m benchmarks.differences --truth annotations -o results/name runs/table/mtan runs/table/bn-frozen ...

Every folder is a run or a group of runs that was predicted. Two rows are compared on the same images: in each of
many draws, images of every domain and seeds are drawn with replacement, the same ones for both rows, and the mean
over the domains of the difference in accuracy is taken. A difference is called real where its two-sided p is below
5 % after Holm's correction for the number of pairs. NAME.md has the rows in order and every pair.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from benchmarks.machine import command_line
from decathlon.data.ground_truth import Truth, read_truth
from decathlon.errors import DecathlonError, UsageError
from decathlon.reports.tables import Column, Table, render
from decathlon.runs.seed_group import find_group
from decathlon.scoring.results import read_results
from decathlon.system.files import write_bytes

DRAWS = 4000
LEVEL = 0.05
Correct = list[npt.NDArray[np.float64]]  # by domain: (seeds, images), 1 where a seed's answer is right


@click.command(help=__doc__)
@click.option("--truth", type=click.Path(path_type=Path, exists=True), required=True, help="Test annotations.")
@click.option("-o", "--results", type=click.Path(path_type=Path), required=True, help="Results, without an ending.")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def command(truth: Path, results: Path, folders: tuple[Path, ...]) -> None:
    """Compare every pair of rows."""
    answers = read_truth(truth)
    rows = {folder.name: correct(folder, answers) for folder in folders}
    if len({domain.shape[0] for row in rows.values() for domain in row}) > 1:
        raise UsageError("the rows have different numbers of seeds. Compare rows of equally many.")
    text = f"```\n{command_line('differences')}\n```\n\n{page(rows)}"
    results.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(results.with_name(f"{results.name}.md"), text.encode())
    click.echo(page(rows))


def correct(folder: Path, truth: Truth) -> Correct:
    """Return which answers of a run, or of every run of a group, are right."""
    group = find_group(folder)
    runs = list(group.every().values()) if group else [folder]
    found = [read_results(run / "results.json") for run in runs]
    given = [dict(zip(one.image_ids, one.category_ids, strict=True)) for one in found]
    return [
        np.array(
            [[its.get(image) == category for image, category in domain.answers.items()] for its in given], float
        )
        for domain in truth.domains
    ]


def mean(row: Correct) -> npt.NDArray[np.float64]:
    """Return the mean over domains of the accuracy, by seed."""
    found: npt.NDArray[np.float64] = np.stack([domain.mean(1) for domain in row]).mean(0)
    return found


def difference(one: Correct, two: Correct, draws: int = DRAWS) -> tuple[float, float, float, float]:
    """Return the difference of two rows' means, its 95 % interval, and the two-sided p of none."""
    rng = np.random.default_rng(0)
    apart = [a - b for a, b in zip(one, two, strict=True)]
    seeds = apart[0].shape[0]
    found = np.empty(draws)
    for draw in range(draws):
        chosen = rng.integers(seeds, size=seeds)
        # the mean over the drawn seeds first: an image counts for all of them
        means = [
            domain[chosen].mean(0)[rng.integers(domain.shape[1], size=domain.shape[1])].mean() for domain in apart
        ]
        found[draw] = np.mean(means)
    low, high = np.quantile(found, (0.025, 0.975))
    beyond = min((found <= 0).sum(), (found >= 0).sum())
    return float(np.mean([domain.mean() for domain in apart])), low, high, min(1.0, 2 * (beyond + 1) / (draws + 1))


def holm(ps: list[float]) -> list[bool]:
    """Return which of several differences are real at LEVEL, by Holm's correction."""
    real = [False] * len(ps)
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        if ps[place] > LEVEL / (len(ps) - rank):
            break
        real[place] = True
    return real


def page(rows: dict[str, Correct]) -> str:
    """Return the rows in order, and every pair, as Markdown."""
    order = sorted(rows, key=lambda name: -mean(rows[name]).mean())
    pairs = list(itertools.combinations(order, 2))
    found = [difference(rows[one], rows[two]) for one, two in pairs]
    real = holm([p for *_, p in found])
    rated = tuple((name, 100 * float(mean(rows[name]).mean()), _standard_error(mean(rows[name]))) for name in order)
    heads = (Column("name", "row"), Column("mean", "mean, %", 2), Column("error", "standard error", 2))
    columns = (
        Column("name", "better"),
        Column("other", "than"),
        Column("by", "by, %", 2),
        Column("from", "from", 2),
    )
    cells = tuple(
        (one, two, 100 * by, 100 * low, 100 * high, p, "real" if yes else "within noise")
        for (one, two), (by, low, high, p), yes in zip(pairs, found, real, strict=True)
    )
    all_pairs = Table("", (*columns, Column("to", "to", 2), Column("p", "p", 4), Column("real", "")), cells)
    return "\n".join(render([table], "markdown").lstrip() for table in (Table("", heads, rated), all_pairs))


def _standard_error(seeds: npt.NDArray[np.float64]) -> float | None:
    return 100 * float(seeds.std(ddof=1)) / len(seeds) ** 0.5 if len(seeds) > 1 else None


if __name__ == "__main__":
    try:
        command()
    except (DecathlonError, OSError) as error:
        sys.exit(f"Error: {error}")
