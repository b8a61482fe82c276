"""`decathlon affinity`: how alike the domains of a run are."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)
KINDS = ["cka", "rsa", "gradients", "prior"]


@click.command()
@click.argument("run", type=PATH)
@click.option(
    "--by", type=click.Choice(KINDS), default="cka", show_default=True,
    help="cka, rsa: features of the same images. gradients: cosines, recorded in training. prior: of relationship.",
)  # fmt: skip
@click.option("--data", type=PATH, help="A packed file with the run's domains, for cka and rsa.")
@click.option("--tap", type=int, default=-1, help="Of cka and rsa: the tap, from 0; default: the last one.")
@click.option("--images", type=click.IntRange(1), default=20, show_default=True, help="Images of each domain.")
@click.option("--epoch", type=click.IntRange(1), help="Of gradients; default: the mean over all epochs.")
@click.option("--plot", type=PATH, metavar="FILE", help="Draw a heat map as .png, .pdf or .svg.")
@click.option("--force", is_flag=True, help="Replace an existing file of --plot.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone.")
def command(
    run: Path, by: str, data: Path | None, tap: int, images: int, epoch: int | None, plot: Path | None,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Show which domains of RUN are alike: a table of all pairs.

    \b
    decathlon affinity runs/trunk --data synth.h5 --plot alike.png
    decathlon affinity runs/trunk --by gradients    # of a run whose recipe has affinity = true
    """
    from decathlon.inference.affinity import affinity
    from decathlon.reports import affinity_table
    from decathlon.reports.figures.heat_map import draw_heat_map
    from decathlon.reports.page import picture_form
    from decathlon.reports.terminal import write
    from decathlon.system.files import refuse_existing, write_bytes
    from decathlon.system.strict_json import show_json
    from decathlon.system.text import say

    form = picture_form(plot) if plot else ""
    if plot and not force:
        refuse_existing(plot, "choose another name, or replace it with --force")
    if by in ("cka", "rsa") and data is None:
        raise click.UsageError(f"--by {by} compares features of images. Name a packed file with --data.")
    found, title = affinity(run, by, data, tap, images, epoch)
    if plot:
        write_bytes(plot, draw_heat_map(found, title, form))
        say(f"wrote {plot}")
    if as_json:
        click.echo(show_json({"title": title, "affinity": found}), nl=False)
        return
    write([affinity_table.to_table(found, title)], "table", affinity_table.describe(found))
