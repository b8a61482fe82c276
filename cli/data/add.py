"""`decathlon data add`: a data set of one's own as one more domain."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any

import click

from decathlon.data.domains import CROP_POLICIES


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The domain's name.")
@click.option("--from", "source", type=click.Path(path_type=Path), required=True, help="The data set.")
@click.option(
    "--split", help="Percent of train/val/test, or train/val. [default: 60/15/25, or the data set's splits]"
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Which split is drawn.")
@click.option("--group", metavar="REGEX", help="On paths, class folder included: one match, one split.")
@click.option("--flip/--no-flip", default=True, show_default=True, help="A mirrored image shows the same class.")
@click.option(
    "--crop",
    type=click.Choice(CROP_POLICIES),
    default="crop",
    show_default=True,
    help="What a network sees: a square cut out, all of it squashed to one, or all of it with bars.",
)
@click.option(
    "--side",
    type=click.IntRange(1, 65_535),
    default=72,
    show_default=True,
    help="Shrink images to this shorter side, in pixels; smaller ones stay as they are.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes that decode; by default one a core.")
@click.option(
    "--truth", type=click.Path(path_type=Path), help="Folder for the labels of test images. [default: FILE-truth]"
)
@click.option("--skip-broken", is_flag=True, help="Leave out images that cannot be read, and list them.")
@click.option("--drop-duplicates", is_flag=True, help="Of images with the same pixels keep one.")
@click.option("--force", is_flag=True, help="Replace the domain if FILE has it, and its labels in --truth.")
def command(file: Path, side: int, workers: int | None, **wishes: Any) -> None:
    """Pack a data set as one more domain of the packed FILE, which is made when it does not exist.

    What --from names is recognised by its look: a folder of class folders, with train, val and test above them or
    not; a CSV file with columns path,label and perhaps split; a COCO annotation with one category an image; a
    folder saved by Hugging Face's datasets. A benchmark in the official layout is for 'decathlon data prepare'.

    Images are JPEG, PNG or PPM files; photographs are turned as their orientation tags say. Splits of the data
    set are kept; otherwise every class is split in the same parts, whatever the order of the
    files. Test labels never enter FILE: they are written for 'decathlon score' to FILE-truth/<name>_test.json.

    \b
    Examples:
      decathlon data add mine.h5 --name mushrooms --from mushrooms/
      decathlon data add mine.h5 --name plates --from plates.csv --no-flip --crop full --group '^[^_]+'
    """
    from decathlon.data_prep.custom.add import add
    from decathlon.data_prep.custom.add_request import Addition
    from decathlon.data_prep.packing.pipeline import Packing
    from decathlon.reports.terminal import write
    from decathlon.system.progress import image_bar
    from decathlon.system.signals import terminable

    begun = time.monotonic()
    with terminable(), image_bar() as (say, progress):
        added = add(file, Addition(**wishes), Packing(side, workers, say, progress, upright=True))
    write([added.table], "table")
    done, seconds = added.prepared, time.monotonic() - begun
    click.echo(
        f"added {wishes['name']} to {file}: {done.images:,} images in {seconds:.1f} s; digest {done.digest[:16]}",
        err=True,
    )
    if added.truth:
        click.echo(f"labels of the test images, for 'decathlon score --truth': {added.truth}", err=True)
    if added.truth and added.elsewhere:
        others = ", ".join(added.elsewhere)
        click.echo(f"to score all domains together, put the <domain>_test.json of {others} there too", err=True)
    click.echo(f"Next: decathlon train --data {shlex.quote(str(file))} --method bn -o RUN", err=True)
