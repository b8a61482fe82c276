"""`decathlon branch`: a tree of domains under a parameter budget."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=PATH)
@click.option("--budget", type=click.FloatRange(1), default=3.0, show_default=True, help="Size in trunks.")
@click.option(
    "--by", type=click.Choice(["cka", "rsa", "gradients"]), default="rsa", show_default=True,
    help="What makes domains alike, see 'decathlon affinity'.",
)  # fmt: skip
@click.option("--data", type=PATH, help="A packed file with the run's domains, for cka and rsa.")
@click.option("--images", type=click.IntRange(1), default=20, show_default=True, help="Images of each domain.")
@click.option("-o", "--output", type=PATH, help="Where to write the tree; default: RUN/branch.json.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(
    run: Path, budget: float, by: str, data: Path | None, images: int, output: Path | None, force: bool
) -> None:
    """Choose which domains of RUN share which stages of a trunk, for training with method 'branch'.

    \b
    decathlon branch runs/trunk --budget 3 --data synth.h5
    """
    from decathlon.inference.affinity import affinities
    from decathlon.inference.branching import choose_tree, stage_sizes, to_text
    from decathlon.system.files import refuse_existing, write_json

    path = output or run / "branch.json"
    if not force:
        refuse_existing(path, "choose another name with -o, or replace it with --force")
    if by != "gradients" and data is None:
        raise click.UsageError(f"--by {by} compares features of images. Name a packed file with --data.")
    tables, trunk, stages = affinities(run, by, data, images)
    tree, size = choose_tree(tables, stage_sizes(trunk, stages), budget)
    for number, groups in enumerate(tree, 1):
        click.echo(f"stage {number}, {len(groups)} branch{'es' if len(groups) > 1 else ''}")
        for group in groups:
            click.echo(f"  {', '.join(group)}")
    text = to_text(tree)
    write_json(path, {"run": str(run), "by": by, "budget": budget, "size": size, "tree": text})
    click.echo(f"\n{size:.2f} trunks of convolutions, of a budget of {budget:g}; written to {path}")
    file, where = shlex.quote(str(data)) if data else "FILE", shlex.quote(str(run))
    chosen = shlex.quote(f"tree={text}")
    click.echo(f"Next: decathlon train --data {file} --method branch --set {chosen} --trunk {where} -o RUN")
