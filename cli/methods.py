"""`decathlon methods`: what a domain's network may be, one line each."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """List the methods: what a domain's network may be."""
    from decathlon.method import methods

    click.echo("\n".join(f"{name:20} {about}" for name, about in methods().items()))
