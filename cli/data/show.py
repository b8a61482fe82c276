"""`decathlon data show`: draw the images of a packed file."""

from pathlib import Path

import click

from decathlon.cli.data._options import PATH, packed_file


@click.command()
@packed_file
@click.argument("domains", nargs=-1, metavar="[DOMAIN]...")
@click.option("-o", "--output", type=PATH, help="The folder to create. [default: FILE-look]")
@click.option(
    "--split", type=click.Choice(["train", "val", "test", "all"]), default="all", show_default=True,
    help="Which images to show.",
)  # fmt: skip
@click.option("--images", type=click.IntRange(1, 500), default=48, show_default=True, help="Images per sheet.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the choice of images."
)
@click.option(
    "--recipe", default="common", show_default=True, metavar="NAME|FILE",
    help="The recipe whose augmentation to show.",
)  # fmt: skip
@click.option(
    "--size", type=click.IntRange(8, 512), help="Side of the network's input, in pixels. [default: the recipe's]"
)
def command(
    file: Path, domains: tuple[str, ...], output: Path | None, split: str, images: int, seed: int, recipe: str,
    size: int | None,
) -> None:  # fmt: skip
    """Draw images of each DOMAIN of the packed FILE, or of all, into a new folder.

    For each domain: a contact sheet per split, with classes below the images (or ids, if classes are unknown); a
    sheet of images before and after augmentation, as a network sees them in training; and a histogram of images per
    class. The same seed draws the same images.

    \b
    Examples:
      decathlon data show decathlon.h5
      decathlon data show decathlon.h5 gtsrb --split train --images 200 -o signs/
    """
    from decathlon.config.recipe_files import find_recipe
    from decathlon.data.domains import SPLITS
    from decathlon.data.packed_file import PackedFile
    from decathlon.reports.data_sheets import SheetOptions, write_sheets
    from decathlon.reports.terminal import write
    from decathlon.system.progress import stderr

    changed = {} if size is None else {"size": size}
    chosen = (split,) if split != "all" else SPLITS
    options = SheetOptions(chosen, images, seed, find_recipe(recipe).override(changed, "--size"))
    folder = output or Path(f"{file.stem}-look")
    with PackedFile(file) as packed, stderr().status("drawing") as status:
        table, notes = write_sheets(
            packed, domains, folder, options, lambda domain: status.update(f"drawing {domain}")
        )
    write([table], "table", notes)
