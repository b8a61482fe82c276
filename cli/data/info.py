"""`decathlon data info`: describe a packed file."""

from pathlib import Path

import click

from decathlon.cli.data._options import as_json, packed_file


@click.command()
@packed_file
@as_json
def command(file: Path, as_json: bool) -> None:
    """Show the domains of the packed FILE: classes, images, sizes, facts.

    The baseline error is that of full fine-tuning, in percent of the test images.
    """
    from decathlon.data.packed_file import PackedFile
    from decathlon.data_prep.inspection.describe import describe, info_table
    from decathlon.reports.terminal import write
    from decathlon.system.strict_json import show_json

    with PackedFile(file) as packed:
        info = describe(packed)
    if as_json:
        click.echo(show_json(info), nl=False)
    else:
        notes = [f"baseline: {info['baseline']}"] if info["baseline"] else []
        write([info_table(info)], "table", [*notes, f"digest {info['digest']}"])
