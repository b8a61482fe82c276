"""`decathlon data prepare`: pack a benchmark's images into one file."""

import shlex
import time
from pathlib import Path

import click

from decathlon.cli.data._options import PATH, shrink, workers


@click.command()
@click.argument("source", type=PATH, nargs=-1, required=True)
@click.option("-o", "--output", type=PATH, required=True, help="The packed file to write.")
@click.option("--name", help="The name of the benchmark. [default: that of the source]")
@workers
@shrink
@click.option("--strict", is_flag=True, help="Refuse archives without a known digest.")
@click.option("--force", is_flag=True, help="Replace OUTPUT if it exists.")
def command(
    source: tuple[Path, ...], output: Path, name: str | None, workers: int | None, side: int, strict: bool,
    force: bool,
) -> None:  # fmt: skip
    """Decode every image of the SOURCEs once and pack them, with all the facts that training needs, into one file.

    A SOURCE is a folder in the official layout, a .tar or .tar.gz of one, or a part of it; together they have
    annotations/<domain>_train.json, _val.json and _test_stripped.json (COCO style) and the images listed there. The
    official archives are read as they are, including those inside them or in a folder: nothing is unpacked to disk.
    A domain without a single image is left out. <domain>_test.json is the ground truth for scoring and is never
    packed. A benchmark.json beside the folder 'annotations' gives the domains' facts; without it official domains
    get the published ones, others are measured.

    \b
    Examples:
      decathlon data prepare decathlon-1.0/ -o decathlon.h5
      decathlon data prepare decathlon-1.0-devkit.tar.gz decathlon-1.0-data.tar.gz -o nine.h5
    """
    from decathlon.data_prep.challenge.prepare import prepare
    from decathlon.data_prep.packing.pipeline import PackOptions
    from decathlon.system.progress import image_bar
    from decathlon.system.signals import terminable

    begun = time.monotonic()
    with terminable(), image_bar() as (say, progress):
        done = prepare(source, output, PackOptions(side, workers, say, progress), name, force, strict)
    seconds, size = time.monotonic() - begun, done.path.stat().st_size / 1e6
    speed = f"{done.images / seconds:,.0f} images/s, at most {done.memory / 1e6:,.0f} MB of memory"
    written = f"wrote {done.path}: {done.images:,} images, {size:,.1f} MB, in {seconds:.1f} s ({speed})"
    say(f"{written}; digest {done.digest[:16]}")
    say(f"Next: decathlon data info {shlex.quote(str(done.path))}")
