"""Which statements count as handling errors, and which of them were run."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from coverage import CoverageData

from benchmarks import error_lines

SOURCE = """
def read(path):
    try:
        return open(path)
    except OSError as error:
        reason = str(
            error)
        if reason:
            print(reason)
        raise ValueError(
            reason) from None
    raise KeyError
"""


def test_raises_and_what_stands_in_except_blocks_are_counted_once() -> None:
    assert error_lines.gaps(SOURCE, set()) == (4, [6, 8, 10, 12])
    assert error_lines.gaps(SOURCE, {4, 7, 9}) == (4, [8, 10, 12])  # any line of a statement is enough
    assert error_lines.gaps(SOURCE, {6, 8, 10, 12}) == (4, [])


def test_every_module_is_found_once() -> None:
    found = list(error_lines.files())
    assert len({path.resolve() for path in found}) == len(found)
    assert {path.relative_to(error_lines.ROOT).parts[0] for path in found} == set(error_lines.PACKAGES)


def test_the_report_names_what_no_test_ran(tmp_path: Path) -> None:
    data = CoverageData(str(tmp_path / "data"))
    data.add_lines({str(error_lines.ROOT / "decathlon" / "system" / "locks.py"): range(1, 1000)})
    data.write()
    outcome = CliRunner().invoke(
        error_lines.command, ["--data", str(tmp_path / "data"), "--json", str(tmp_path / "x.json")]
    )
    assert outcome.exit_code == 0
    assert (
        "decathlon/system/tensor_files.py:" in outcome.output and "decathlon/system/locks.py:" not in outcome.output
    )
    assert '"missed"' in (tmp_path / "x.json").read_text()
