"""decathlon score"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from decathlon.scoring.score import Score
    from decathlon.scoring.seed_scores import GroupScore


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    required=True,
    help="Ground truth: a folder or zip of <domain>_test.json files, or one of them.",
)
@click.option(
    "--baseline",
    metavar="SCORE.json|RUN|BASELINE.json|official",
    help="Whose errors earn 250 points. Default: those of the benchmark, or the official ones.",
)
@click.option(
    "--save-baseline",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Keep the errors of RESULTS as a baseline for --baseline.",
)
@click.option(
    "--data", type=click.Path(path_type=Path), help="The packed file whose benchmark has baseline errors."
)
@click.option("--partial", is_flag=True, help="Let whole domains be missing; there is no total then.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write score.json here.")
def command(
    results: Path, truth: Path, baseline: str | None, save_baseline: Path | None, data: Path | None,
    partial: bool, as_json: bool, output: Path | None,
) -> None:  # fmt: skip
    """Score RESULTS against the ground truth, as the Visual Decathlon does.

    RESULTS is a results.json, or a run directory with one, which then gets a score.json. Of a group of runs
    ('train --seeds') every run is scored; shown are means and standard deviations.

    A benchmark of one's own has no baseline until one is measured: score a fine-tuned run with --save-baseline,
    and others with --baseline. Domains that the saved one does not hold keep their own, as the official ones do.

    \b
    decathlon score runs/finetune --truth mine-truth --save-baseline finetune.json
    decathlon score runs/mtan --truth mine-truth --baseline finetune.json
    """
    from decathlon.data.ground_truth import read_truth
    from decathlon.runs.seed_group import find_group
    from decathlon.scoring.baseline import find_baseline
    from decathlon.scoring.results import read_results
    from decathlon.scoring.score import score
    from decathlon.scoring.seed_scores import GroupScore
    from decathlon.system.checksums import write_sealed
    from decathlon.system.files import refuse_existing

    group = find_group(results)
    files = [_results(run, results) for run in (group.every().values() if group else [results])]
    for path in (output, save_baseline):
        if path is not None:
            refuse_existing(path)
    answers = read_truth(truth)
    against = find_baseline(answers, baseline, data)
    _tell_unsealed(baseline)
    scores = [score(read_results(file), answers, against, partial) for file in files]
    over_seeds = GroupScore(group.seeds, tuple(scores)) if group else None
    if group or (results.is_dir() and output is None):
        for file, found in zip(files, scores, strict=True):
            _write(file.with_name("score.json"), found)
    if output is not None:
        write_sealed(output, (over_seeds or scores[0]).to_json())
    _show(over_seeds or scores[0], as_json)
    if save_baseline is not None:
        _keep(save_baseline, over_seeds.mean() if over_seeds else scores[0])


def _keep(file: Path, found: Score) -> None:
    """Write the errors of a score as a baseline for others."""
    from decathlon.scoring.baseline import SavedBaseline
    from decathlon.system.checksums import write_sealed

    write_sealed(file, SavedBaseline.of(found).to_json())
    kept = shlex.quote(str(file))
    click.echo(f"errors kept as a baseline: score other runs with --baseline {kept}", err=True)


def _tell_unsealed(baseline: str | None) -> None:
    from decathlon.scoring.baseline import unsealed_files

    for file in unsealed_files(baseline):
        click.echo(f"Note: {file} has no checksum: its errors are taken as they stand.", err=True)


def _show(found: Score | GroupScore, as_json: bool) -> None:
    from decathlon.reports.score_table import show_group_score, show_score
    from decathlon.scoring.score import Score
    from decathlon.system.strict_json import dump_json

    if as_json:
        click.echo(dump_json(found.to_json()), nl=False)
    elif isinstance(found, Score):
        show_score(found)
    else:
        show_group_score(found)


def _write(file: Path, found: Score) -> None:
    """Write a score; say so when another one stood there."""
    from decathlon.errors import DataError, VerificationError
    from decathlon.scoring.score import Score
    from decathlon.system.checksums import seal, write_sealed
    from decathlon.system.strict_json import dump_json

    document = found.to_json()
    if file.exists() and file.read_bytes() != dump_json(seal(document)).encode():
        try:
            before = Score.read(file).baseline
        except (DataError, VerificationError):
            before = found.baseline
        against = "" if before == found.baseline else f" (its baseline was {before})"
        click.echo(f"replaced an earlier score{against}: {file}", err=True)
    write_sealed(file, document)


def _results(run: Path, asked: Path) -> Path:
    """Return the results file of a run directory, or the file itself; `asked` is what the user named."""
    from decathlon.errors import UsageError
    from decathlon.runs.record import read_status

    if run.is_dir() and read_status(run) == "diverged":
        raise UsageError(f"{run} diverged and has no score: train it again under another name with a smaller --lr.")
    if run.is_dir() and not (run / "results.json").is_file():
        if read_status(run) == "running":
            from decathlon.runs.run_directory import Run

            Run(run).read_done()
        predict = f"decathlon predict {shlex.quote(str(asked))} --data FILE.h5"
        raise UsageError(f"{run} has no results.json: run '{predict}' first.")
    return run / "results.json" if run.is_dir() else run
