"""`decathlon verify`: check files and directories of this project for damage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from decathlon.experiments.verify import Checked


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(paths: tuple[Path, ...]) -> None:
    """Read every byte of PATH and compare it with its checksums and with the files it belongs to.

    PATH is a packed file, a run directory, a group of runs, weights or a merged network (.safetensors, .onnx,
    .pt2), a results file, a score.json, a saved baseline or ground truth (<domain>_test.json, or a folder of them).
    Ends with exit code 4 if anything is wrong. A file without a checksum, as .onnx files are, is read to
    its end all the same, and the table says so.

    \b
    decathlon verify runs/mtan mini.h5
    """
    from decathlon.errors import VerificationError
    from decathlon.reports.tables import Column, Table
    from decathlon.reports.terminal import write
    from decathlon.system.text import printable, several

    rows = [row for path in paths for row in _check(path)]
    columns = Column("path", "file"), Column("what", "what"), Column("found", "found")
    cells = tuple((str(row.path), row.what, "WRONG" if row.wrong else row.note) for row in rows)
    wrong = [row.wrong for row in rows if row.wrong]
    write([Table(f"{several(len(rows), 'check')}", columns, cells)], "table")
    for sentence in wrong[1:]:
        click.echo(printable(sentence))
    if wrong:
        others = f" ({several(len(wrong) - 1, 'other problem')} above)" if wrong[1:] else ""
        raise VerificationError(f"{wrong[0]}{others}")


def _check(path: Path) -> list[Checked]:
    import h5py

    from decathlon.experiments.verify import Checked, verify

    if not path.is_file() or (path.suffix != ".h5" and not h5py.is_hdf5(path)):
        return verify(path)
    from decathlon.data_prep.packing.check import problems

    return [Checked(path, "packed file", problem) for problem in problems(path)] or [Checked(path, "packed file")]
