"""`decathlon predict`: the predictions of a run as a results file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Packed file.")
@click.option("--split", type=click.Choice(["test", "val"]), default="test", show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Default: results.json in the run directory.")
@click.option("--force", is_flag=True, help="Replace existing results.")
@click.option("--device", help="cpu, cuda or cuda:N; default: a GPU where there is one.")
def command(
    run: Path, data: Path, split: Literal["test", "val"], out: Path | None, force: bool, device: str | None
) -> None:
    """Predict a split with every trained domain of RUN and write a results file of the challenge.

    \b
    decathlon predict runs/mtan --data mini.h5
    decathlon score runs/mtan --truth annotations/
    """
    from decathlon.files import refuse_existing
    from decathlon.predict import predict_run
    from decathlon.run import Run

    default = run / ("results.json" if split == "test" else f"results-{split}.json")
    out = out or default
    if not force:
        refuse_existing(out, "choose another name with -o, or replace it with --force")
    counts = predict_run(Run(run), data, split, out, device)
    click.echo(f"{sum(counts.values())} {split} images of {len(counts)} domains predicted: {out}", err=True)
    if split == "test":
        scored = run if out == default else out
        click.echo(f"Next: decathlon score {shlex.quote(str(scored))} --truth FOLDER_WITH_TEST_LABELS", err=True)
