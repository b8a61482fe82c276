"""`decathlon data build`: build one of the ten domains from its original data set."""

import shlex
import time
from pathlib import Path

import click

from decathlon.cli.data._options import PATH, workers


@click.command()
@click.argument("domain")
@click.option("--from", "sources", type=PATH, multiple=True, metavar="PATH",
              help="A folder or tar archive of the original; may be repeated.")  # fmt: skip
@click.option("-o", "--output", type=PATH, metavar="FILE.h5",
              help="The packed file; other domains in it are kept.")  # fmt: skip
@click.option("--truth", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="Folder for the test labels. [default: FILE-truth]")  # fmt: skip
@click.option("--annotations", type=PATH, metavar="PATH",
              help="Official annotations, to split with their number of images per class.")  # fmt: skip
@workers
@click.option("--side", type=click.IntRange(1, 65_535), default=72, show_default=True,
              help="Resize images to this shorter side, in pixels; smaller ones are enlarged.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace the domain in FILE.h5, and its labels in --truth.")
def command(
    domain: str, sources: tuple[Path, ...], output: Path | None, truth: Path | None, annotations: Path | None,
    workers: int | None, side: int, force: bool,
) -> None:  # fmt: skip
    """Pack one DOMAIN of the ten from its original data set, as its authors released it.

    DOMAIN is aircraft, cifar100, daimlerpedcls, dtd, gtsrb, imagenet12, omniglot, svhn, ucf101 or vgg-flowers;
    without --from the command lists the files it needs. Classes, their order and the numbers of images are those of
    the challenge. Where the challenge drew validation or test images at random, they are drawn again, the same ones
    every time, with a line that begins with "Note". Test images are packed without labels.

    \b
    Examples:
      decathlon data build cifar100 --from cifar-100-binary.tar.gz -o ten.h5 --truth truth/
      decathlon data build dtd --from dtd/ -o ten.h5 --truth truth/
    """
    from decathlon.data_prep.originals.build import build, find
    from decathlon.data_prep.packing.pipeline import PackOptions
    from decathlon.errors import UsageError
    from decathlon.system.progress import image_bar
    from decathlon.system.signals import terminable

    layout = find(domain).LAYOUT
    if not sources or output is None:
        raise UsageError(
            f"building {domain} needs a source and an output. Add -o FILE.h5 and --from with {layout}."
        )
    begun = time.monotonic()
    with terminable(), image_bar() as (say, progress):
        options = PackOptions(side, workers, say, progress, enlarge=True)
        done, labels = build(domain, sources, output, options, annotations, truth, force)
    seconds = time.monotonic() - begun
    added = f"added {domain} to {done.path}: {done.images:,} images in {seconds:.1f} s"
    say(f"{added}; digest {done.digest[:16]}")
    say(f"test labels, for 'decathlon score --truth': {labels}")
    say(f"Next: decathlon data info {shlex.quote(str(done.path))}")
