"""`decathlon recipes`: how a run may train, one line each."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """List the recipes: how a run may train."""
    from decathlon.recipe_file import recipes

    click.echo("\n".join(f"{name:20} {about}" for name, about in recipes().items()))
