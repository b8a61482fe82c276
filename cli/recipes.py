"""`decathlon recipes`: the recipes, one line each, or one recipe with all its options."""

import click


@click.command()
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the recipes for training, or show every option of one.

    NAME is a recipe or a TOML file.

    \b
    decathlon recipes
    decathlon recipes url
    decathlon recipes my.toml
    """
    from decathlon.config.recipe_files import find_recipe, recipe_text, recipes
    from decathlon.system.text import printable

    if name:
        click.echo(printable(recipe_text(find_recipe(name)), "\n"))
    else:
        click.echo("\n".join(f"{known:20} {about}" for known, about in recipes().items()))
