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
    from decathlon.models.registry import explain, grouped

    if name:
        click.echo(explain(name))
        return
    for group, members in grouped().items():
        click.echo(f"{group}\n" + "\n".join(f"  {known:16} {about}" for known, about in members.items()) + "\n")
