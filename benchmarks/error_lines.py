"""Error handling that no test runs: `raise` statements and the statements of `except` blocks.

coverage run -m pytest && coverage combine
python -m benchmarks.error_lines             # reads .coverage; --json FILE keeps the counts
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import click
from coverage import CoverageData

from decathlon.errors import UsageError
from decathlon.reports.tables import Column, Table
from decathlon.reports.terminal import write
from decathlon.system.files import write_json

ROOT = Path(__file__).parents[1]
PACKAGES = ("decathlon", "adapters", "data_prep", "cli")


def statements(source: str) -> list[range]:
    """Return the lines of every statement that is a `raise` or is directly in an `except` block."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise):
            found.append(_lines(node))
        if isinstance(node, ast.ExceptHandler):
            found += [_lines(one) for one in node.body if not isinstance(one, ast.Raise)]
    return sorted(found, key=lambda lines: lines.start)


def _lines(node: ast.stmt) -> range:
    """Return the lines of a simple statement, and the first of a compound one, whose others are statements too."""
    compound = isinstance(node, ast.If | ast.For | ast.While | ast.With | ast.Try)
    return range(node.lineno, node.lineno + 1 if compound else (node.end_lineno or node.lineno) + 1)


def gaps(source: str, seen: set[int]) -> tuple[int, list[int]]:
    """Return how many such statements there are, and the first line of each that was not run."""
    all_of_them = statements(source)
    return len(all_of_them), [lines.start for lines in all_of_them if not seen.intersection(lines)]


def files() -> Iterator[Path]:
    """Yield every module of the packages once: some folders inside `decathlon` are links."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not any(part.is_symlink() for part in path.relative_to(ROOT).parents if (ROOT / part).is_symlink()):
                yield path


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=".coverage", show_default=True)
@click.option("--json", "kept", type=click.Path(path_type=Path), help="Write counts and gaps to a file.")
def command(data: Path, kept: Path | None) -> None:
    """Count the statements that handle errors and were run, by package, and list those that were not."""
    if not data.is_file():
        raise UsageError(f"{data} does not exist. Run 'coverage run -m pytest' first.")
    measured = CoverageData(str(data))
    measured.read()
    seen: dict[Path, set[int]] = {}
    for name in measured.measured_files():
        seen.setdefault(Path(name).resolve(), set()).update(measured.lines(name) or ())
    counts = {package: [0, 0] for package in PACKAGES}
    missed = []
    for path in files():
        total, lines = gaps(path.read_text(encoding="utf-8"), seen.get(path.resolve(), set()))
        place = path.relative_to(ROOT)
        counts[place.parts[0]][0] += total
        counts[place.parts[0]][1] += total - len(lines)
        missed += [f"{place}:{line}" for line in lines]
    write([_table(counts)], "table")
    click.echo("\n".join(missed))
    if kept is not None:
        write_json(kept, {"counts": counts, "missed": missed})


def _table(counts: dict[str, list[int]]) -> Table:
    total, run = (sum(pair[i] for pair in counts.values()) for i in (0, 1))
    rows = tuple((package, float(of), float(ran), 100 * ran / of) for package, (of, ran) in counts.items())
    columns = (
        Column("package", "package"),
        Column("statements", "statements", 0),
        Column("run", "run", 0),
        Column("part", "%", 1),
    )
    return Table("Statements that handle errors", columns, rows, ("all", total, run, 100 * run / total))


if __name__ == "__main__":
    command()
