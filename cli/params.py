"""`decathlon params`: how many bits a run or a method needs."""

from pathlib import Path

import click

TRUNK = "wrn-28-4"


@click.command()
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--method", help="Count a method without a run, for the official ten domains.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="An option of --method.")
@click.option("--trunk", help=f"The trunk to count --method over; default: {TRUNK}.")
@click.option("--freeze/--no-freeze", default=None, help="Count --method over a frozen or a jointly trained trunk.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone.")
def command(
    run: Path | None, method: str | None, settings: tuple[str, ...], trunk: str | None,
    freeze: bool | None, as_json: bool,
) -> None:  # fmt: skip
    """Count the bits of RUN, or of a METHOD over a TRUNK, as a multiple of one trunk without a head.

    \b
    decathlon params runs/mtan
    decathlon params --method parallel --trunk resnet26
    """
    if (run is None) == (method is None):
        raise click.UsageError("give either a run directory or --method NAME, see 'decathlon methods'.")
    if run and (settings or trunk or freeze is not None):
        raise click.UsageError("--set, --trunk and --freeze cannot be combined with a run directory.")
    from decathlon.models.method import Regime
    from decathlon.models.registry import read_options
    from decathlon.reports import footprint_report
    from decathlon.reports.terminal import write
    from decathlon.runs.run_directory import Run
    from decathlon.runs.seed_group import find_group
    from decathlon.system.strict_json import show_json

    regime: Regime | None = None if freeze is None else "frozen" if freeze else "joint"
    notes = list(footprint_report.NOTES)
    group = find_group(run) if run else None
    if group is not None:
        run = group.finished(group.seeds[0])
        notes.append(f"One seed of {group.folder} is shown: seeds change weights, not their number.")
    if run:
        about, counted = footprint_report.count_run(Run(run))
    else:
        method, trunk, options = method or "", trunk or TRUNK, read_options(method or "", settings)
        about, counted = footprint_report.count_method(method, trunk, regime, options)
    if as_json:
        click.echo(show_json(about | counted.to_json()), nl=False)
        return
    write([footprint_report.scope_table(counted, about), footprint_report.ratio_table(counted)], "table", notes)
