"""decathlon score"""

from __future__ import annotations

from pathlib import Path

import click


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
    metavar="SCORE.json|RUN|official",
    help="Whose errors earn 250 points. Default: those of the benchmark, or the official ones.",
)
@click.option(
    "--data", type=click.Path(path_type=Path), help="The packed file whose benchmark has baseline errors."
)
@click.option("--partial", is_flag=True, help="Let whole domains be missing; there is no total then.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write score.json here.")
def command(
    results: Path, truth: Path, baseline: str | None, data: Path | None,
    partial: bool, as_json: bool, output: Path | None,
) -> None:  # fmt: skip
    """Score RESULTS against the ground truth, as the Visual Decathlon does.

    RESULTS is a results.json, or a run directory with one, which then gets a score.json.
    """
    from decathlon.baseline import find_baseline
    from decathlon.errors import UsageError
    from decathlon.files import dump_json, refuse_existing, write_json
    from decathlon.results import read_results
    from decathlon.score import score
    from decathlon.scorecard import show_score
    from decathlon.truth import read_truth

    if results.is_dir() and not (results / "results.json").is_file():
        raise UsageError(f"{results} has no results.json: run 'decathlon predict {results} --data FILE.h5' first.")
    if output is not None:
        refuse_existing(output)
    elif results.is_dir():
        output = results / "score.json"
    answers = read_truth(truth)
    found = score(
        read_results(results / "results.json" if results.is_dir() else results),
        answers, find_baseline(answers, baseline, data), partial,
    )  # fmt: skip
    if output is not None:
        write_json(output, found.to_json())
    if as_json:
        click.echo(dump_json(found.to_json()), nl=False)
    else:
        show_score(found)
