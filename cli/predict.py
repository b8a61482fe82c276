"""`decathlon predict`: the predictions of a run, in a results file."""

import shlex
from pathlib import Path
from typing import Literal

import click

from decathlon.system.text import say


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Packed file.")
@click.option("--split", type=click.Choice(["test", "val"]), default="test", show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Default: results.json in the run directory.")
@click.option("--force", is_flag=True, help="Replace existing results.")
@click.option("--allow-change", is_flag=True, help="Predict other images than the run's packed file held.")
@click.option("--device", help="cpu, cuda or cuda:N; default: a GPU if there is one.")
@click.option("--merge/--no-merge", "merged", default=True, help="Merge adapters and fold norms first: faster.")
@click.option("--batch", type=click.IntRange(1), default=256, show_default=True, help="Images at a time.")
@click.option("--threads", type=click.IntRange(1, 4096), help="CPU threads; default: torch's.")
def command(
    run: Path, data: Path, split: Literal["test", "val"], out: Path | None, force: bool, device: str | None,
    threads: int | None, merged: bool, batch: int, allow_change: bool,
) -> None:  # fmt: skip
    """Predict a split with every trained domain of RUN and write a results file of the challenge.

    If RUN is a group of runs ('train --seeds'), each run gets a results file; existing ones are kept.

    \b
    decathlon predict runs/mtan --data mini.h5
    decathlon score runs/mtan --truth annotations/

    Predictions of the validation split go to results-val.json; 'score --split val' scores them, with the packed
    file as --truth.
    """
    from decathlon.errors import UsageError
    from decathlon.runs.run_directory import Run
    from decathlon.runs.seed_group import find_group
    from decathlon.scoring.results import of_split, protocol_path
    from decathlon.system.files import refuse_existing

    if threads:
        import torch

        torch.set_num_threads(threads)
    name = of_split("results", split)
    group = find_group(run)
    if group is None:
        if not force:
            refuse_existing(out or run / name, "choose another name with -o, or replace it with --force")
        trained = _predict(run, data, split, out or run / name, device, merged, batch, allow_change)
    elif out is not None:
        raise UsageError(f"{run} is a group of runs, each with its own results. Leave out -o.")
    else:
        files = [folder / name for folder in group.every().values()]
        trained = Run(files[0].parent).read().names
        # the protocol is written last: without it the results may be incomplete
        kept = [] if force else [file for file in files if file.exists() and protocol_path(file).exists()]
        for file in kept:
            say(f"{file} already exists and is kept; --force replaces it")
        for file in [file for file in files if file not in kept]:
            _predict(file.parent, data, split, file, device, merged, batch, allow_change)
    of_run = out in (None, run / name)
    _next(run if of_run else out, trained, data, split, " --split val" if of_run and split == "val" else "")


def _predict(
    run: Path, data: Path, split: Literal["test", "val"], out: Path, device: str | None, merged: bool, batch: int,
    allow_change: bool,
) -> tuple[str, ...]:  # fmt: skip
    """Predict with one run; return the domains it has trained."""
    from decathlon.data.ground_truth import SUFFIX, stripped, truth_folder
    from decathlon.inference.predict import predict_run
    from decathlon.runs.run_directory import Run
    from decathlon.system.text import several

    counts = predict_run(Run(run), data, split, out, device, merged, batch, allow_change)
    for name in [name for name, count in counts.items() if not count]:
        say(f"{name} is left out: {data} has no {split} images of it")
    domains = several(sum(count > 0 for count in counts.values()), "domain")
    images = several(sum(counts.values()), f"{split} image")
    say(f"{images} of {domains} predicted: {out}")
    for name in counts if split == "test" else ():
        if (names := stripped(truth_folder(data) / f"{name}{SUFFIX}")).exists():
            say(f"{name} has no test labels to score with; {names} names its images by their ids")
    return tuple(counts)


def _next(
    scored: Path | None, trained: tuple[str, ...], data: Path, split: Literal["test", "val"], option: str
) -> None:
    """Print the next command; a run without some of the file's domains has no total."""
    from decathlon.data.ground_truth import SUFFIX, truth_folder
    from decathlon.data.packed_file import PackedFile

    with PackedFile(data) as packed:
        names = packed.benchmark.names
    partial = " --partial" if set(names) - set(trained) else ""
    beside = truth_folder(data)
    whole = all((beside / f"{name}{SUFFIX}").exists() for name in names)
    known = data if split == "val" else beside if whole else None
    truth = "FOLDER_WITH_TEST_LABELS" if known is None else shlex.quote(str(known))
    say(f"Next: decathlon score {shlex.quote(str(scored))}{option} --truth {truth}{partial}")
