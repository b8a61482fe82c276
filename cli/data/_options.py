"""Arguments and options that several commands of `decathlon data` share."""

from pathlib import Path

import click

PATH = click.Path(path_type=Path)
packed_file = click.argument("file", type=PATH)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
workers = click.option("--workers", type=click.IntRange(1, 256), help="Decoding processes. [default: one per core]")
shrink = click.option(
    "--side", type=click.IntRange(1, 65_535), default=72, show_default=True,
    help="Shrink images to this shorter side, in pixels; smaller ones stay as they are.",
)  # fmt: skip
