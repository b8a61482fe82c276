"""Tables in every format: a name is a name, whatever characters it has."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest

from decathlon.reports.page import page
from decathlon.reports.tables import Column, Format, Row, Table, render
from decathlon.reports.terminal import write

HOSTILE = [
    "=HYPERLINK(\"http://x\")", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "＝1", " =1",
    "a|b\nc|d", "`code`<img src=x onerror=alert(1)>", "[link](javascript:x)", "**&lt;**", "\x1b[2J\u202ex",
    '" onmouseover="x', "[2pt] $x$ % \\input{x}", "*",
]  # fmt: skip


def hostile() -> Table:
    columns = (Column("name", "name"), *(Column(f"{name} %", name, 2) for name in HOSTILE))
    rows: tuple[Row, ...] = tuple((name, *(-0.5 for _ in HOSTILE)) for name in HOSTILE)
    return Table("- title\n=====\n<b>", columns, rows, footer=("=total", *(-1.0 for _ in HOSTILE)))


@pytest.mark.parametrize("form", ["csv", "json", "latex", "markdown"])
def test_no_name_steers_a_terminal_or_breaks_a_line(form: Format) -> None:
    text = render([hostile()], form, ["note\n\x1b[2J"])
    assert all(c.isprintable() or c == "\n" for c in text)
    lines = len(HOSTILE) + 1
    least = {"csv": lines, "json": 0, "latex": lines + 10, "markdown": lines + 6}[form]
    assert text.count("\n") == least or form == "json", text


def test_no_cell_is_a_formula_and_numbers_stay_numbers() -> None:
    header, *rows = csv.reader(io.StringIO(render([hostile()], "csv")))
    assert len(rows) == len(HOSTILE)
    for cell in [*header, *(row[0] for row in rows)]:
        assert not re.match(r"\s*[=+\-@\t\r＝＋－＠]", cell), cell
    assert {cell for row in rows for cell in row[1:]} == {"-0.5"}
    assert [row[0] for row in rows][:4] == [f"'{name}" for name in HOSTILE[:4]]
    assert header[1] == f"'{HOSTILE[0]} %"
    (none,) = csv.DictReader(
        io.StringIO(render([Table("", (Column("a", ""), Column("b", "")), ((None, 1),))], "csv"))
    )
    assert none == {"a": "", "b": "1"}


def test_json_holds_the_names_themselves() -> None:
    assert [row["name"] for row in json.loads(render([hostile()], "json"))] == HOSTILE


def test_every_row_of_markdown_has_the_cells_of_its_header() -> None:
    text = render([hostile()], "markdown", ["<b>note</b> [x](y)", "1. first", "- second"])
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == len(HOSTILE) + 3
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table} == {len(HOSTILE) + 2}
    for mark in "<>[]`&":
        assert not re.search(rf"(?<!\\)(?:\\\\)*\{mark}", text), mark
    title, *_, note, _, first, _, second = text.splitlines()
    assert title == r"\- title\\n=====\\n\<b\>"
    assert (note, first, second) == (
        r"\<b\>note\</b\> \[x\]\(y\)".replace(r"\(y\)", "(y)"),
        r"1\. first",
        r"\- second",
    )


def test_no_row_of_latex_is_an_option_of_the_line_break() -> None:
    text = render([hostile()], "latex")
    assert not re.search(r"^[\[*]", text, re.MULTILINE)
    assert r"{[}2pt] \$x\$ \% \textbackslash{}input\{x\} &" in text


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[tuple[str, tuple[str, ...]]] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_a_page_has_no_tag_from_a_name() -> None:
    plain = Table("title", (Column("name", "name"), Column("a", "a", 2)), (("x", 1.0),))
    found, usual = Tags(), Tags()
    found.feed(page([hostile()], [b"<svg/>"], ['<i>"note"</i>']))
    usual.feed(page([plain], [b"<svg/>"], ["note"]))
    assert found.tags == usual.tags
    assert HOSTILE[9] in found.text and r"\x1b[2J\u202ex" in found.text and '<i>"note"</i>' in found.text


def test_a_terminal_gets_one_line_for_a_row_and_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    rows: tuple[Row, ...] = (("a\nb", 1.0), ("[bold]c[/bold]", 2.0))
    write([Table("t\n\x1b", (Column("n", "n\u202e"), Column("v", "v", 1)), rows)], "table", ["[red]\nnote"])
    told = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert told[0] == r"t\n\x1b" and told[-1] == r"[red]\nnote" and told[1].startswith(r"n\u202e")
    assert [line.split() for line in told[3:5]] == [[r"a\nb", "1.0"], ["[bold]c[/bold]", "2.0"]]
