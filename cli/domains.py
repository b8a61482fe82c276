"""`decathlon domains`: the official ten, one line each."""

import click


@click.command()
def command() -> None:
    """List the official ten domains; 'decathlon data info' lists those of a packed file."""
    from decathlon.data.official import OFFICIAL
    from decathlon.reports.tables import Column, Table
    from decathlon.reports.terminal import write

    columns = (
        Column("domain", "domain"),
        *(Column(name, name, 0) for name in ("classes", "train", "val", "test")),
        Column("error", "Finetune error %", 2),
        Column("flip", "mirrored"),
        Column("crop", "crop"),
    )
    rows = tuple(
        (name, d.classes, d.train, d.val, d.test, 100 * d.finetune_error, "yes" if d.flip else "no", d.crop)
        for name, d in OFFICIAL.items()
    )
    write([Table("The Visual Decathlon", columns, rows)], "table")
