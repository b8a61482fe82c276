"""`decathlon data check`: verify a packed file from end to end."""

from pathlib import Path

import click

from decathlon.cli.data._options import packed_file


@click.command()
@packed_file
def command(file: Path) -> None:
    """Verify every byte of the packed FILE against its checksums, digests and facts.

    Prints one line per problem, and exits with code 4 if there is any. Official domains must have the official
    numbers of images.
    """
    from decathlon.data.packed_file import PackedFile
    from decathlon.data_prep.inspection.describe import check_table
    from decathlon.data_prep.packing.check import problems
    from decathlon.errors import VerificationError
    from decathlon.reports.terminal import write
    from decathlon.system.text import printable

    found = problems(file)
    for problem in found:
        click.echo(printable(problem))
    if found:
        raise VerificationError(f"{file} has {len(found)} problem{'s' * (len(found) > 1)}. Do not train on it.")
    with PackedFile(file) as packed:
        write([check_table(packed)], "table", [f"digest {packed.digest}"])
