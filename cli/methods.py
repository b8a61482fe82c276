"""`decathlon methods`: the methods, one line each, or one method with its options."""

import click


@click.command()
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the methods, or explain the one called NAME with its options.

    A method defines what domains share and what each domain learns.

    \b
    decathlon methods
    decathlon methods piggyback
    """
    from decathlon.models.registry import explain, methods

    if name:
        click.echo(explain(name))
    else:
        click.echo("\n".join(f"{known:20} {about}" for known, about in methods().items()))
