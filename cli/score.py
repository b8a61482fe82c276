"""decathlon score"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from decathlon.scoring.score import Score
    from decathlon.scoring.seed_scores import GroupScore

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("results", type=PATH)
@click.option(
    "--truth",
    type=PATH,
    required=True,
    help="Ground truth: a folder or zip of <domain>_test.json files, or one of them.",
)
@click.option(
    "--baseline",
    metavar="SCORE.json|RUN|BASELINE.json|official",
    help="The errors that earn 250 points. Default: those of the benchmark, or the official ones.",
)
@click.option(
    "--save-baseline", type=PATH, metavar="FILE.json", help="Save the errors of RESULTS for use with --baseline."
)
@click.option("--data", type=PATH, help="The packed file with the baseline errors of the benchmark.")
@click.option("--partial", is_flag=True, help="Allow whole domains to be missing; there is no total then.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone.")
@click.option("-o", "--output", type=PATH, help="Write the score to this file.")
def command(
    results: Path, truth: Path, baseline: str | None, save_baseline: Path | None, data: Path | None,
    partial: bool, as_json: bool, output: Path | None,
) -> None:  # fmt: skip
    """Score RESULTS against the ground truth, as the Visual Decathlon does.

    RESULTS is a results.json, or a run directory with one, which then gets a score.json. In a group of runs
    ('train --seeds') every run is scored, and means and standard deviations are shown.

    Your own benchmark has no baseline until you measure one: score a fine-tuned run with --save-baseline, and other
    runs with --baseline. Domains that the saved baseline lacks keep theirs, such as the official errors.

    \b
    decathlon score runs/finetune --truth mine-truth --save-baseline finetune.json
    decathlon score runs/mtan --truth mine-truth --baseline finetune.json
    """
    from decathlon.data.ground_truth import read_truth
    from decathlon.runs.seed_group import find_group
    from decathlon.scoring.baseline import SavedBaseline, find_baseline, unsealed_files
    from decathlon.scoring.results import read_results
    from decathlon.scoring.score import score
    from decathlon.scoring.seed_scores import GroupScore
    from decathlon.system.checksums import write_sealed
    from decathlon.system.files import refuse_existing

    group = find_group(results)
    files = [_results_file(run, results) for run in (group.every().values() if group else [results])]
    for path in (output, save_baseline):
        if path is not None:
            refuse_existing(path)
    answers = read_truth(truth)
    against = find_baseline(answers, baseline, data)
    for file in unsealed_files(baseline):
        click.echo(f"Note: {file} has no checksum, its errors are taken as they are.", err=True)
    scores = [score(read_results(file), answers, against, partial) for file in files]
    found = GroupScore(group.seeds, tuple(scores)) if group else scores[0]
    if group or (results.is_dir() and output is None):
        for file, one in zip(files, scores, strict=True):
            _write(file.with_name("score.json"), one)
    if output is not None:
        write_sealed(output, found.to_json())
    _show(found, as_json)
    if save_baseline is not None:
        mean = found.mean() if isinstance(found, GroupScore) else found
        write_sealed(save_baseline, SavedBaseline.of(mean).to_json())
        named = shlex.quote(str(save_baseline))
        click.echo(f"saved the errors. Score other runs with --baseline {named}", err=True)


def _show(found: Score | GroupScore, as_json: bool) -> None:
    from decathlon.reports.score_table import show_score
    from decathlon.system.strict_json import dump_json

    if as_json:
        click.echo(dump_json(found.to_json()), nl=False)
    else:
        show_score(found)


def _write(file: Path, found: Score) -> None:
    """Write a score, and say so when it replaces another one."""
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


def _results_file(run: Path, given: Path) -> Path:
    """Return the results file of a run directory, or the file itself; `given` is the path on the command line."""
    from decathlon.errors import UsageError
    from decathlon.runs.record import read_status

    if run.is_dir() and read_status(run) == "diverged":
        raise UsageError(f"{run} diverged and has no score. Train it again under another name with a smaller --lr.")
    if run.is_dir() and not (run / "results.json").is_file():
        if read_status(run) == "running":
            from decathlon.runs.run_directory import Run

            Run(run).read_done()
        predict = f"decathlon predict {shlex.quote(str(given))} --data FILE.h5"
        raise UsageError(f"{run} has no results.json. Run '{predict}' first.")
    return run / "results.json" if run.is_dir() else run
