"""`decathlon methods`: what a domain's network may be."""

from __future__ import annotations

import click


@click.command()
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the methods: what a domain's network may be; or explain the one called NAME, with its options.

    \b
    decathlon methods
    decathlon methods piggyback
    """
    from decathlon.models.registry import explain, methods

    if name:
        click.echo(explain(name))
    else:
        click.echo("\n".join(f"{known:20} {about}" for known, about in methods().items()))
