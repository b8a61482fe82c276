"""`decathlon data stats`: mean and standard deviation of every domain."""

from pathlib import Path

import click

from decathlon.cli.data._options import as_json, packed_file


@click.command()
@packed_file
@as_json
def command(file: Path, as_json: bool) -> None:
    """Measure mean and standard deviation over all pixels of each domain in the packed FILE.

    They are measured on the train split, without one on val or test, and shown beside those in the file, which
    training uses.
    """
    from decathlon.data.packed_file import PackedFile
    from decathlon.data_prep.inspection.describe import statistics, statistics_table
    from decathlon.reports.terminal import write
    from decathlon.system.strict_json import show_json

    with PackedFile(file) as packed:
        measured = statistics(packed)
    if as_json:
        click.echo(show_json(measured), nl=False)
    else:
        write([statistics_table(measured)], "table")
