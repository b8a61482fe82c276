"""`decathlon data prepare`: pack a benchmark's images into one file."""

from __future__ import annotations

import time
from pathlib import Path

import click


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The packed file to write.")
@click.option("--name", help="The benchmark's name; by default the source's.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that decode; by default one a core.")
@click.option(
    "--side",
    type=click.IntRange(1, 65_535),
    default=72,
    show_default=True,
    help="Shrink images to this shorter side, in pixels; smaller ones stay as they are.",
)
@click.option("--force", is_flag=True, help="Replace OUTPUT if it exists.")
def command(source: Path, output: Path, name: str | None, workers: int | None, side: int, force: bool) -> None:
    """Decode every image of SOURCE once and write them, with all facts that training needs, to one file.

    SOURCE is a folder in the official layout, or a .tar or .tar.gz of one: annotations/<domain>_train.json,
    _val.json and _test_stripped.json (COCO style) and the images they name. <domain>_test.json is the scorer's
    truth and is never packed. A benchmark.json beside the folder 'annotations' gives the domains' facts; without
    it official domains get the published ones, others are measured.

    \b
    Example:
      decathlon data prepare decathlon-1.0/ -o decathlon.h5
    """
    from decathlon.data_prep.prepare import Options, prepare
    from decathlon.progress import image_bar, terminable

    begun = time.monotonic()
    with terminable(), image_bar() as (say, progress):
        done = prepare(source, output, Options(name, side, workers, force), say, progress)
    seconds = time.monotonic() - begun
    click.echo(
        f"wrote {done.path}: {done.images:,} images, {done.path.stat().st_size / 1e6:,.1f} MB, in {seconds:.1f} s "
        f"({done.images / seconds:,.0f} images/s); digest {done.digest[:16]}",
        err=True,
    )
    click.echo(f"Next: decathlon data info {done.path}", err=True)
