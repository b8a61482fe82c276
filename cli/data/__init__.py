"""`decathlon data`: make, pack, check and describe benchmarks."""

import click

from decathlon.cli.main import FolderGroup


@click.group(cls=FolderGroup, package="decathlon.cli.data")
def command() -> None:
    """Make, pack, check and describe benchmarks."""
