"""`decathlon data build`: one of the ten domains from its original data set."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import click


@click.command()
@click.argument("domain")
@click.option("--from", "sources", type=click.Path(path_type=Path), multiple=True, metavar="PATH",
              help="A folder or tar archive of the original; may stand several times.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.h5",
              help="The packed file; one that exists keeps its other domains.")  # fmt: skip
@click.option("--truth", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="Folder for the labels of the test images. [default: FILE-truth]")  # fmt: skip
@click.option("--annotations", type=click.Path(path_type=Path), metavar="PATH",
              help="The official annotations: split with their number of images of each class.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Processes that decode; by default one a core.")
@click.option("--side", type=click.IntRange(1, 65_535), default=72, show_default=True,
              help="Resize images to this shorter side, in pixels; smaller ones too.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace the domain where FILE.h5 holds it, and its truth.")
def command(
    domain: str, sources: tuple[Path, ...], output: Path | None, truth: Path | None, annotations: Path | None,
    workers: int | None, side: int, force: bool,
) -> None:  # fmt: skip
    """Pack one DOMAIN of the ten from its original data set, as its authors released it.

    It is aircraft, cifar100, daimlerpedcls, dtd, gtsrb, imagenet12, omniglot, svhn, ucf101 or vgg-flowers; without
    --from the command says which files it needs. Classes, their order and the numbers of images are those of the
    challenge. Where it drew validation or test images at random, they are drawn anew, the same ones every time, and
    a line that begins with "Note" says so. Test images are packed without labels.

    \b
    Examples:
      decathlon data build cifar100 --from cifar-100-binary.tar.gz -o ten.h5 --truth truth/
      decathlon data build dtd --from dtd/ -o ten.h5 --truth truth/
    """
    from decathlon.data_prep.originals.build import Request, build, find
    from decathlon.data_prep.packing.pipeline import Packing
    from decathlon.errors import UsageError
    from decathlon.system.progress import image_bar
    from decathlon.system.signals import terminable

    layout = find(domain).LAYOUT
    if not sources or output is None:
        raise UsageError(f"to build {domain} add -o FILE.h5 and --from with {layout}.")
    begun = time.monotonic()
    with terminable(), image_bar() as (say, progress):
        how = Packing(side, workers, say, progress, enlarge=True)
        done, labels = build(Request(domain, sources, output, annotations, truth), how, force)
    seconds = time.monotonic() - begun
    click.echo(
        f"added {domain} to {done.path}: {done.images:,} images in {seconds:.1f} s; digest {done.digest[:16]}",
        err=True,
    )
    click.echo(f"labels of the test images, for 'decathlon score --truth': {labels}", err=True)
    click.echo(f"Next: decathlon data info {shlex.quote(str(done.path))}", err=True)
