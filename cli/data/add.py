"""`decathlon data add`: add your own data set as one more domain."""

import shlex
import time
from pathlib import Path
from typing import Any

import click

from decathlon.cli.data._options import PATH, packed_file, shrink, workers
from decathlon.data.domains import CROP_POLICIES


@click.command()
@packed_file
@click.option("--name", required=True, help="The domain's name.")
@click.option("--from", "source", type=PATH, required=True, help="The data set.")
@click.option(
    "--split", help="Percent of train/val/test, or train/val. [default: 60/15/25, or the data set's own splits]"
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the split.")
@click.option(
    "--group", metavar="REGEX", help="Keep images in one split whose paths, with class folder, have the same match."
)
@click.option(
    "--flip/--no-flip", default=True, show_default=True, help="Whether a mirrored image shows the same class."
)
@click.option(
    "--crop", type=click.Choice(CROP_POLICIES), default="crop", show_default=True,
    help="What a network sees of an image: a square crop, all of it squashed to a square, or all of it with bars.",
)  # fmt: skip
@shrink
@workers
@click.option("--truth", type=PATH, help="Folder for the labels of test images. [default: FILE-truth]")
@click.option("--skip-broken", is_flag=True, help="Leave out unusable images, and list them.")
@click.option("--drop-duplicates", is_flag=True, help="Keep only one of images with identical pixels.")
@click.option("--force", is_flag=True, help="Replace the domain in FILE, and its labels in --truth.")
def command(file: Path, side: int, workers: int | None, **request: Any) -> None:
    """Add a data set to the packed FILE as one more domain. FILE is created if it does not exist.

    The format of --from is recognised: a folder of class folders, optionally below train, val and test; a CSV file
    with columns path,label and optionally split; a COCO annotation file with one category per image; a folder saved
    by Hugging Face's datasets. For a benchmark in the official layout use 'decathlon data prepare'.

    Images are JPEG, PNG, WebP, TIFF, BMP or PPM files; photographs are rotated by their orientation tags. Splits of
    the data set are kept; otherwise every class is split in the same parts, independent of the order of files. Test
    labels are never stored in FILE: they are written for 'decathlon score' to FILE-truth/<name>_test.json. Test
    images may go without labels: directly in test, or with an empty label.

    \b
    Examples:
      decathlon data add mine.h5 --name mushrooms --from mushrooms/
      decathlon data add mine.h5 --name plates --from plates.csv --no-flip --crop full --group '^[^_]+'
    """
    from decathlon.data_prep.custom.add import add
    from decathlon.data_prep.custom.add_request import AddRequest
    from decathlon.data_prep.packing.pipeline import PackOptions
    from decathlon.reports.terminal import write
    from decathlon.system.progress import image_bar
    from decathlon.system.signals import terminable

    begun = time.monotonic()
    with terminable(), image_bar() as (say, progress):
        added = add(file, AddRequest(**request), PackOptions(side, workers, say, progress, upright=True))
    write([added.table], "table")
    done, seconds = added.prepared, time.monotonic() - begun
    packed = f"added {request['name']} to {file}: {done.images:,} images in {seconds:.1f} s"
    say(f"{packed}; digest {done.digest[:16]}")
    if added.truth:
        say(f"test labels, for 'decathlon score --truth': {added.truth}")
    if added.unlabelled:
        say(f"names of the test images, for the ids that are predicted: {added.unlabelled}")
    if added.truth and added.elsewhere:
        others = ", ".join(added.elsewhere)
        say(f"to score all domains together, put <domain>_test.json of {others} there as well")
    if any(row[0] == "train" for row in added.table.rows):
        small = "--recipe quick --method bn --trunk wrn-16-1"
        say(f"Next: decathlon train --data {shlex.quote(str(file))} {small} -o RUN")
