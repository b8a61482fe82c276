"""`decathlon quickstart`: the whole pipeline on the synthetic benchmark, one command after another."""

import time
from pathlib import Path

import click

TRUNK = "wrn-16-1"
DIFFER = "'mtan' had 2100.9, 2169.6 and 2389.6"  # tests/test_docs_commands.py compares them with the README


def pipeline(out: Path) -> list[list[str]]:
    """Return the commands of the pipeline, as a user would type them after `decathlon`."""
    source, data = str(out / "source"), str(out / "synth.h5")
    trunk, feature, mtan = (str(out / name) for name in ("trunk", "feature", "mtan"))
    # networks this small gain nothing from a second thread
    train = ["train", "--data", data, "--recipe", "quick", "--threads", "1"]
    steps = [
        ["data", "synth", source],
        ["data", "prepare", source, "-o", data],
        [*train, "--method", "bn", "--trunk", TRUNK, "-o", trunk],
        [*train, "--method", "feature", "--trunk", trunk, "-o", feature],
        [*train, "--method", "mtan", "--trunk", trunk, "-o", mtan],
    ]
    for run in (trunk, feature, mtan):
        steps += [["predict", run, "--data", data], ["score", run, "--truth", source]]
    pictures = ["--plot", str(out / "points.png"), "--html", str(out / "leaderboard.html")]
    return [*steps, ["params", mtan], ["leaderboard", feature, trunk, mtan, *pictures]]


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default="demo", show_default=True, help="The folder to create."
)
@click.pass_context
def command(ctx: click.Context, out: Path) -> None:
    """Run the whole pipeline on ten small synthetic domains: a few minutes on a CPU, no download.

    Draws the images, packs them, trains a joint trunk, a linear head on it and MTAN masks over it, predicts,
    scores, counts parameters and plots the points per domain. Every command is printed before it runs.
    """
    import shlex

    from decathlon.system.files import refuse_existing
    from decathlon.system.text import printable

    refuse_existing(out, "choose another folder with --out, or remove it")
    out.mkdir(parents=True)
    began = time.monotonic()
    root = ctx.find_root().command
    try:
        for arguments in pipeline(out):
            click.secho(f"\n$ decathlon {printable(shlex.join(arguments))}", bold=True, err=True)
            root.main(arguments, standalone_mode=False, prog_name="decathlon")
    finally:
        if not any(out.iterdir()):  # nothing was made: the same command must work once there is space
            out.rmdir()
    seconds = time.monotonic() - began
    packed, trunk = (shlex.quote(str(out / name)) for name in ("synth.h5", "trunk"))
    click.echo(
        f"\nDone in {seconds:.0f} s. In the table, 'trunk' is hard sharing, 'feature' a linear head on it,\n"
        f"'mtan' masks over it, 'baseline' one fine-tuned network per domain. See {out / 'points.png'}\n"
        f"Scores differ between processors: {DIFFER}, on three machines (README).\n\n"
        "Three commands to try next (the command is .venv/bin/decathlon after 'make demo'):\n"
        f"  decathlon train --data {packed} --recipe quick --method finetune --trunk {trunk} "
        "-o runs/finetune\n"
        f"  decathlon params --method mtan --trunk wrn-28-4\n"
        "  decathlon data prepare FOLDER_OR_ARCHIVE -o my.h5"
    )
