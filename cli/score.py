"""decathlon score"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from decathlon.system.text import say

if TYPE_CHECKING:
    from decathlon.data.ground_truth import Split, Truth
    from decathlon.runs.record import RunRecord
    from decathlon.scoring.results import Results
    from decathlon.scoring.score import Score
    from decathlon.scoring.seed_scores import GroupScore

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("results", type=PATH)
@click.option(
    "--truth",
    type=PATH,
    required=True,
    help="Ground truth: a folder or zip of <domain>_test.json or _val.json files, one of them, or the packed file.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "val"]),
    help="Which images RESULTS answers. Default: what its protocol says, or test.",
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
@click.option("--force", is_flag=True, help="Take the usual baseline where an earlier score has another one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone.")
@click.option("-o", "--output", type=PATH, help="Write the score to this file.")
def command(
    results: Path, truth: Path, split: Split | None, baseline: str | None, save_baseline: Path | None,
    data: Path | None, partial: bool, force: bool, as_json: bool, output: Path | None,
) -> None:  # fmt: skip
    """Score RESULTS against the ground truth, as the Visual Decathlon does.

    RESULTS is a results.json or a zip of one, or a run directory with one, which then gets a score.json. In a group
    of runs ('train --seeds') every run is scored, and means and standard deviations are shown. A run that is scored
    again keeps its baseline.

    Your own benchmark has no baseline until you measure one: score a fine-tuned run with --save-baseline, and other
    runs with --baseline. Domains that the saved baseline lacks keep theirs, such as the official errors.

    \b
    decathlon score runs/finetune --truth mine-truth --save-baseline finetune.json
    decathlon score runs/mtan --truth mine-truth --baseline finetune.json

    To choose between runs, score predictions of the validation split against the labels in the packed file.

    \b
    decathlon predict runs/mtan --split val --data mine.h5
    decathlon score runs/mtan --split val --truth mine.h5
    """
    from decathlon.data.ground_truth import read_truth
    from decathlon.runs.record import find_record
    from decathlon.runs.seed_group import find_group
    from decathlon.scoring.baseline import find_baseline, kept_baseline, unsealed_files
    from decathlon.scoring.results import of_split, read_results
    from decathlon.scoring.score import score
    from decathlon.scoring.seed_scores import GroupScore
    from decathlon.system.files import refuse_existing

    group = find_group(results)
    runs = group.every().values() if group else [results]
    records = [find_record(run) if run.is_dir() else None for run in runs]
    pairs = list(zip(runs, records, strict=True))
    files = [_results_file(run, record, results, split or "test") for run, record in pairs]
    if output is not None and output == save_baseline:
        raise click.UsageError("-o and --save-baseline name the same file. Choose two names.")
    for path in (path for path in (output, save_baseline) if path is not None):
        refuse_existing(path)
    predicted = [read_results(file) for file in files]
    for (run, record), its in zip(pairs, predicted, strict=True):
        _refuse_foreign(run, record, its)
    _refuse_other_split(predicted, split)
    answers = read_truth(truth, split or predicted[0].split)
    earlier = [file.with_name(of_split("score", answers.split)) for file in files] if results.is_dir() else []
    written = [] if output is not None and not group else earlier
    against = find_baseline(answers, baseline, data)
    kept = kept_baseline(earlier, answers, against) if baseline is None and data is None and not force else None
    for file in unsealed_files(baseline, answers.split):
        say(f"Note: {file} has no checksum, its errors are taken as they are.")
    scores = [score(one, answers, kept or against, partial) for one in predicted]
    found = GroupScore(group.seeds, tuple(scores)) if group else scores[0]
    if kept:
        say(f"kept the baseline of the earlier score ({kept.text}); --force takes the usual one")
    _note_uncompared(predicted, answers, scores[0].missing)
    for file, one in zip(written, scores, strict=bool(written)):
        _write(file, one)
    _hand_out(found, as_json, output, save_baseline)


def _refuse_foreign(run: Path, record: RunRecord | None, results: Results) -> None:
    """Raise an error for results in a run directory that its weights did not make."""
    from decathlon.errors import VerificationError
    from decathlon.scoring.results import REPREDICT, protocol_path
    from decathlon.scoring.score import refuse_other_weights

    if record is not None and results.protocol is None:
        lost = f"{results.source} has lost {protocol_path(results.source).name}, which says what made it"
        raise VerificationError(f"{lost}. {REPREDICT}, or name the file itself to score it without a run.")
    refuse_other_weights(run, results.source.name, results.protocol, record)


def _refuse_other_split(predicted: list[Results], split: Split | None) -> None:
    for its in [its for its in predicted if split and its.split not in (None, split)]:
        raise click.UsageError(f"{its.source} predicts {its.split} images. Leave out --split {split}.")


def _note_uncompared(predicted: list[Results], truth: Truth, missing: tuple[str, ...]) -> None:
    """Say so where the images of results and truth cannot be compared, of all domains that are not `missing`."""
    from decathlon.scoring.answers import uncompared
    from decathlon.system.text import first

    bare = set().union(*(uncompared(one, truth) for one in predicted)).difference(missing)
    if bare:
        of = "" if len(bare) == len(truth.domains) - len(missing) else f" of {first(sorted(bare))}"
        say(f"not compared: results and ground truth do not both carry the digest of the images{of}")


def _hand_out(found: Score | GroupScore, as_json: bool, output: Path | None, save_baseline: Path | None) -> None:
    """Write a score where the user wants it, show it, and save its errors as a baseline."""
    from decathlon.scoring.baseline import SavedBaseline
    from decathlon.scoring.seed_scores import GroupScore
    from decathlon.system.checksums import write_sealed

    if output is not None:
        write_sealed(output, found.to_json())
    _show(found, as_json)
    if save_baseline is not None:
        mean = found.mean() if isinstance(found, GroupScore) else found
        write_sealed(save_baseline, SavedBaseline.of(mean).to_json())
        named = shlex.quote(str(save_baseline))
        say(f"saved the errors. Score other runs with --baseline {named}")


def _show(found: Score | GroupScore, as_json: bool) -> None:
    from decathlon.reports.score_table import show_score
    from decathlon.system.strict_json import show_json

    if as_json:
        click.echo(show_json(found.to_json()), nl=False)
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
        say(f"replaced an earlier score{against}: {file}")
    write_sealed(file, document)


def _results_file(run: Path, record: RunRecord | None, given: Path, split: Split) -> Path:
    """Return the results file of a run directory, or the file itself; `given` is the path on the command line."""
    from decathlon.errors import UsageError
    from decathlon.scoring.results import of_split

    if record is not None and record.status == "diverged":
        raise UsageError(f"{run} diverged and has no score. Train it again under another name with a smaller --lr.")
    file = run / of_split("results", split)
    if run.is_dir() and not file.is_file():
        if record is not None and record.status == "running":
            from decathlon.runs.run_directory import Run

            Run(run).read_done()
        predict = f"decathlon predict {shlex.quote(str(given))} --data FILE.h5"
        raise UsageError(
            f"{run} has no {file.name}. Run '{predict}{' --split val' if split == 'val' else ''}' first."
        )
    return file if run.is_dir() else run
