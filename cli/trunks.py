"""`decathlon trunks`: the trunks, one line each."""

import click


@click.command()
def command() -> None:
    """List the trunks, the networks that domains share."""
    from decathlon.models.trunks.registry import TRUNKS

    click.echo("\n".join(f"{name:20} {about}" for name, about in TRUNKS.items()))
