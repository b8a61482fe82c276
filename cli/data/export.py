"""`decathlon data export`: write packed domains back as images."""

import shlex
import time
from pathlib import Path
from typing import Literal

import click

from decathlon.cli.data._options import PATH, packed_file


@click.command()
@packed_file
@click.argument("domains", nargs=-1, metavar="[DOMAIN]...")
@click.option("-o", "--output", type=PATH, required=True, help="The folder to create.")
@click.option(
    "--format", "kind", type=click.Choice(["png", "jpg"]), default="png", show_default=True,
    help="png keeps every pixel, jpg is smaller.",
)  # fmt: skip
@click.option("--quality", type=click.IntRange(1, 100), help="Quality of jpg, from 1 to 100. [default: 95]")
def command(
    file: Path, domains: tuple[str, ...], output: Path, kind: Literal["png", "jpg"], quality: int | None
) -> None:
    """Write each DOMAIN of the packed FILE, or all, to a new folder as images and annotations.

    The folder has the official layout, with the domains' facts in benchmark.json: 'decathlon data prepare' packs it
    again, from png of all domains to the same digest.

    \b
    Examples:
      decathlon data export decathlon.h5 -o images/
      decathlon data export decathlon.h5 dtd svhn -o two/ --format jpg --quality 90
    """
    if quality is not None and kind == "png":
        raise click.UsageError("png has no quality. Leave out --quality or add --format jpg.")
    from decathlon.data.packed_file import PackedFile
    from decathlon.data_prep.inspection.export import ImageFormat, export
    from decathlon.data_prep.packing.pipeline import SIDE
    from decathlon.system.progress import image_bar
    from decathlon.system.signals import terminable
    from decathlon.system.text import several

    begun = time.monotonic()
    with PackedFile(file) as packed, terminable(), image_bar() as (say, progress):
        done = export(packed, domains, output, ImageFormat(kind, quality or 95), say, progress)
    seconds = time.monotonic() - begun
    written = f"wrote {output}: {done.images:,} images of {several(len(done.domains), 'domain')}"
    say(f"{written}, in {seconds:.1f} s ({done.images / seconds:,.0f} images/s)")
    if kind == "jpg":
        say("jpg changes the pixels: a file packed from it has another digest.")
    side = f" --side {done.side}" if done.side > SIDE else ""
    again = shlex.quote(f"{output.name}.h5")
    say(f"Next: decathlon data prepare {shlex.quote(str(output))} -o {again}{side}")
