"""The leaderboard: the rows that share a board, in every format."""

from __future__ import annotations

import csv
import io
import json
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.data.official import OFFICIAL
from decathlon.errors import DataError, UsageError
from decathlon.reports.figures import lettering
from decathlon.reports.score_table import show_score
from decathlon.scoring.baseline import OFFICIAL_TEXT
from decathlon.scoring.results import write_results
from decathlon.scoring.score import DomainScore, Score
from decathlon.system.files import write_json
from tests.helpers.runs import a_record

OFFICIAL_RUN = Score(
    tuple(DomainScore(name, 0.75, 0.25, facts.test, facts.finetune_error) for name, facts in OFFICIAL.items()),
    OFFICIAL_TEXT,
    protocol={"fit": "train+val"},
)


def insects(error: float, baseline_error: float | None = 0.2, images: int = 100) -> Score:
    domains = tuple(DomainScore(name, 1 - error, error, images, baseline_error) for name in ("ant", "bee"))
    return Score(domains, "measured", protocol={"fit": "train", "benchmark": "insects"})


def make(folder: Path, name: str, score: Score, ratio: float | None = None) -> Path:
    write_json(folder / name / "score.json", score.to_json())
    if ratio is not None:
        write_json(folder / name / "footprint.json", {"ratio": ratio})
    return folder / name


def run(*arguments: object) -> str:
    outcome = CliRunner().invoke(command, ["leaderboard", *map(str, arguments)], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


def rows(*arguments: object, references: bool = False) -> list[dict[str, object]]:
    found = json.loads(run(*arguments, "--format", "json"))
    assert isinstance(found, list)
    return [row for row in found if references or row["protocol"] != "reference"]


def test_without_runs_only_the_published_rows_are_shown() -> None:
    found = rows()
    assert len(found) == 12
    assert (found[0]["name"], found[0]["printed_score"]) == ("URL + adapters", 4005)
    assert found[0]["score"] == pytest.approx(4005.0, abs=0.1)
    assert found[0]["vgg-flowers %"] == 87.28


def test_an_official_run_is_among_the_published_rows(tmp_path: Path) -> None:
    path = make(tmp_path, "mine", OFFICIAL_RUN, ratio=2.125)
    found = rows(path)
    (mine,) = (row for row in found if row["name"] == "mine")
    assert len(found) == 13 and {row["benchmark"] for row in found} == {found[0]["benchmark"]}
    assert (mine["params_ratio"], mine["protocol"], mine["aircraft %"]) == (2.125, "train+val", 75.0)
    assert [row["name"] for row in rows(path, "--no-published")] == ["mine"]
    assert [row["name"] for row in rows(path / "score.json", "--no-published")] == ["mine"]


def test_a_foreign_run_is_set_apart_from_the_published_rows(tmp_path: Path) -> None:
    path = make(tmp_path, "mine", insects(0.1))
    assert [row["name"] for row in rows(path)] == ["mine"]
    assert len({str(row["benchmark"]) for row in rows(path, "--published")}) == 2
    out = run(path, "--published")
    assert out.index("mine") < out.index("Visual Decathlon, official benchmark")
    assert "cannot be compared with other runs" in out


@pytest.mark.parametrize("other", [insects(0.1, images=99), insects(0.1, 0.3)])
def test_runs_on_different_benchmarks_are_never_mixed(tmp_path: Path, other: Score) -> None:
    out = run(make(tmp_path, "one", insects(0.1)), make(tmp_path, "two", other))
    assert out.count("name  ") == 2
    assert "compare rows within a table, never across tables" in out


def test_a_run_without_points_joins_its_benchmark(tmp_path: Path) -> None:
    bare, scored = make(tmp_path, "bare", insects(0.1, None)), make(tmp_path, "scored", insects(0.2))
    found = rows(bare, scored)
    assert [(row["name"], row["score"]) for row in found] == [("scored", 500.0), ("bare", None)]
    assert len({str(row["benchmark"]) for row in found}) == 1
    assert "bare: No baseline error for ant, bee." in run(bare, scored)


def test_points_are_counted_against_the_baseline_that_is_named(tmp_path: Path) -> None:
    bare, scored = make(tmp_path, "bare", insects(0.1, None)), make(tmp_path, "scored", insects(0.15, 0.3))
    base = make(tmp_path, "base", insects(0.2, None))
    found = rows(bare, scored, "--baseline", base, references=True)
    assert [(row["name"], row["score"]) for row in found] == [
        ("bare", 1125.0),
        ("scored", 781.25),
        ("baseline", 500.0),
    ]
    assert {row["benchmark"] for row in found} == {f"Benchmark insects, baseline measured: the errors of {base}"}
    assert Score.read(scored).baseline == "measured"  # what is on the disk stays
    with pytest.raises(UsageError, match="does not exist"):
        rows(bare, "--baseline", tmp_path / "absent.json")


def test_a_score_of_nought_ranks_above_no_score(tmp_path: Path) -> None:
    bare, none = make(tmp_path, "bare", insects(0.5, None)), make(tmp_path, "none", insects(0.9))
    assert [(row["name"], row["score"]) for row in rows(bare, none)] == [("none", 0.0), ("bare", None)]


def test_runs_are_sorted_by_score_and_named_by_path_if_ambiguous(tmp_path: Path) -> None:
    low, high = make(tmp_path / "a", "run", insects(0.2)), make(tmp_path / "b", "run", insects(0.1))
    assert [(row["name"], row["score"]) for row in rows(low, high)] == [(str(high), 1125.0), (str(low), 500.0)]


def test_a_run_over_fewer_domains_has_no_total_and_no_mean(tmp_path: Path) -> None:
    part = Score(OFFICIAL_RUN.domains[:9], OFFICIAL_TEXT)
    path = make(tmp_path, "nine", part)
    assert part.total is not None
    (nine,) = (row for row in rows(path) if row["name"] == "nine")
    assert nine["score"] is nine["mean accuracy %"] is nine["vgg-flowers %"] is None
    assert nine["aircraft %"] == 75.0
    assert "nine answers 9 domains, so it has no total here." in run(path)


def test_a_diverged_run_has_no_score(tmp_path: Path) -> None:
    fine, gone = make(tmp_path, "fine", insects(0.1)), make(tmp_path, "gone", insects(0.05))
    a_record(status="diverged").write(gone)
    found = rows(fine, gone)
    assert [(row["name"], row["score"], row["protocol"]) for row in found] == [
        ("fine", 1125.0, "train"),
        ("gone", None, "diverged"),
    ]
    assert "gone diverged in training and has no score." in run(fine, gone)
    assert "gone" in run(gone)


def test_a_score_of_older_results_is_refused(tmp_path: Path) -> None:
    score = Score(insects(0.1).domains, "b", protocol={"results_sha256": "0" * 64})
    path = make(tmp_path, "mine", score)
    write_results(path / "results.json", [1], [2], {})
    with pytest.raises(DataError, match=f"made from other results. Run 'decathlon score {path} --truth PATH'"):
        run(path)
    write_json(path / "score.json", replace(score, missing=("wasp",)).to_json())
    with pytest.raises(DataError, match="--truth PATH --partial'"):
        run(path)
    spaced = path.rename(tmp_path / "my run")
    with pytest.raises(DataError, match=f"'decathlon score '{spaced}' --truth"):
        run(spaced)


def test_a_run_without_score_and_a_bad_footprint_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a run directory. Name the runs themselves"):
        run(tmp_path)
    path = make(tmp_path, "mine", insects(0.1))
    write_json(path / "footprint.json", {"ratio": "2"})
    with pytest.raises(DataError, match="ratio is "):
        run(path)


def test_scores_against_different_truths_get_a_note(tmp_path: Path) -> None:
    first, second = replace(insects(0.1), truth="1" * 64), replace(insects(0.2), truth="2" * 64)
    one, other, old = (
        make(tmp_path, "one", first),
        make(tmp_path, "two", second),
        make(tmp_path, "old", insects(0.3)),
    )
    note = "one and two were scored against different ground truths. Do not compare them"
    assert note in " ".join(run(one, other, old).split())
    again = make(tmp_path, "again", replace(insects(0.4), truth="1" * 64))
    assert "ground truths" not in run(one, again, old)
    part = make(tmp_path, "part", replace(second, domains=second.domains[:1], missing=("bee",)))
    assert "ground truths" not in run(one, part)


def test_csv_has_a_line_per_row_and_the_columns_of_every_benchmark(tmp_path: Path) -> None:
    out = run(make(tmp_path, 'a "b", c', insects(0.1)), "--published", "--format", "csv")
    found = [row for row in csv.DictReader(io.StringIO(out)) if row["protocol"] != "reference"]
    assert len(found) == 13
    assert (found[0]["name"], found[0]["ant %"], found[0]["dtd %"]) == ('a "b", c', "90.0", "")
    assert found[1]["ant %"] == ""


def test_a_board_names_its_baseline_and_its_floor(tmp_path: Path) -> None:
    score = Score((DomainScore("ant", 0.9, 0.1, 10, 0.2, majority=0.3),), "measured")
    found = rows(make(tmp_path, "mine", score), references=True)
    assert [(row["name"], row["ant %"], row["score"]) for row in found] == [
        ("mine", 90.0, 562.5),
        ("baseline", 80.0, 250.0),
        ("majority class", 30.0, 0.0),
    ]


def test_a_row_has_its_method_and_a_reference_is_never_the_best(tmp_path: Path) -> None:
    domains = (DomainScore("ant", 0.7, 0.3, 10, 0.1, majority=0.3),)
    for name, method in (("one", "piggyback ternary=true"), ("two", None)):
        make(tmp_path, name, Score(domains, "measured", protocol={"fit": "train", "method": method}))
    paths = tmp_path / "one", tmp_path / "two"
    methods = {row["name"]: row["method"] for row in rows(*paths, references=True)}
    assert methods == {"one": "piggyback ternary=true", "two": None, "baseline": None, "majority class": None}
    markdown = run(*paths, "--format", "markdown")
    assert "| one | piggyback ternary=true | – | **70.00** |" in markdown
    assert "| baseline | – | – | 90.00 | 90.00 | 250.0 | reference |" in markdown
    assert "piggyback" in run(*paths) and " method " not in run()


def test_a_narrow_terminal_marks_no_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make(tmp_path, "one", insects(0.3)), make(tmp_path, "two", insects(0.35))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    out = run(*paths)
    assert "\x1b[1m70.00\x1b[0m" in out and "\x1b[1m80.00" not in out


def test_the_protocol_puts_a_value_of_several_parts_in_brackets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = {"method": "dan", "trained": "parallel, 1 epoch; before that bn, 3 epochs", "epochs": 1}
    score = Score(insects(0.1).domains, "b", protocol=protocol)
    (row,) = rows(make(tmp_path, "mine", score))
    assert row["protocol"] == "1 epoch, after (parallel, 1 epoch; before that bn, 3 epochs)"
    show_score(score)
    line = "Protocol: method dan, trained (parallel, 1 epoch; before that bn, 3 epochs), epochs 1."
    assert line in capsys.readouterr().out


def test_markdown_and_latex_escape_names_and_mark_the_best(tmp_path: Path) -> None:
    paths = make(tmp_path, "a_b|c&d%", insects(0.1)), make(tmp_path, "low", insects(0.2))
    markdown = run(*paths, "--format", "markdown")
    assert r"| a\_b\|c\&d% | – | **90.00** |" in markdown
    latex = run(*paths, "--format", "latex")
    assert (
        r"a\_b\textbar{}c\&d\% & -- & \textbf{90.00} & \textbf{90.00} & \textbf{90.00} & \textbf{1125.0} & train \\"
        in latex
    )


def test_a_pipe_gets_every_column_and_no_colour() -> None:
    out = run()
    assert "\x1b" not in out
    (line,) = (line for line in out.splitlines() if line.startswith("MTAN"))
    assert line.split()[1:3] == ["1.74", "61.81"] and line.split()[-3:] == ["2943.5", "2941", "published"]


def test_a_narrow_terminal_gets_fewer_columns_never_cut_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    out = run()
    assert "61.81" not in out and "2943.5" in out
    assert "\x1b[1m4005.0\x1b[0m" in out
    assert "Widen the window" in out


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_plot_is_drawn_and_byte_stable(tmp_path: Path, ending: str, magic: bytes) -> None:
    path, file = make(tmp_path, "price $x$ <b>", insects(0.1)), tmp_path / f"points.{ending}"
    run(path, "--plot", file)
    first = file.read_bytes()
    assert first.startswith(magic)
    run(path, "--plot", file, "--force")
    assert file.read_bytes() == first


@pytest.mark.parametrize("option", ["--plot", "--html"])
def test_a_picture_or_page_that_exists_is_kept(tmp_path: Path, option: str) -> None:
    file = tmp_path / ("kept.svg" if option == "--plot" else "kept.html")
    file.write_text("mine")
    told = CliRunner().invoke(command, ["leaderboard", "absent", option, str(file)])  # before a run is read
    assert str(told.exception) == f"{file} already exists. Choose another name, or replace it with --force."
    assert file.read_text() == "mine"
    run(make(tmp_path, "mine", insects(0.1)), option, file, "--force")
    assert file.read_text() != "mine"


def test_a_picture_is_no_other_for_a_matplotlibrc(tmp_path: Path) -> None:
    path = make(tmp_path, "mine", insects(0.1))
    run(path, "--plot", tmp_path / "one.svg")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "none"}):
        run(path, "--plot", tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_names_are_literal_in_a_picture(tmp_path: Path) -> None:
    """SVG is XML, and says in comments what its outlines write."""
    hostile = "\x1b[2J\u202e$\\frac$ --> <b>\nx"
    domain = DomainScore("$a$ -->\n\x07<b>", 0.9, 0.1, 100, 0.2)
    score = Score((domain,), "measured", protocol={"benchmark": hostile})
    write_json(tmp_path / "mine" / "score.json", score.to_json())
    run(tmp_path / "mine", "--plot", tmp_path / "points.svg")
    text = (tmp_path / "points.svg").read_text()
    ElementTree.fromstring(text)
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "$a$ - ->\\n\\x07<b>" in text.replace("&gt;", ">").replace("&lt;", "<")


def test_a_name_that_no_font_has_is_escaped_in_a_plot_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lettering, "_system_fonts", lambda: ())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of matplotlib, for every letter that it draws as an empty box
        words = ["leaderboard", str(make(tmp_path, "猫", insects(0.1))), "--plot", str(tmp_path / "points.svg")]
        told = CliRunner().invoke(command, words, catch_exceptions=False).output
    assert "No font on this machine has all letters: pictures show 猫 as \\u732b." in " ".join(told.split())


def test_a_plot_needs_points_and_a_known_ending(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no points to draw"):
        run(make(tmp_path, "bare", insects(0.1, None)), "--plot", tmp_path / "points.png")
    with pytest.raises(UsageError, match="ending .png, .pdf or .svg"):
        run("--plot", tmp_path / "points.bmp")
    with pytest.raises(UsageError, match="ending .html"):
        run("--html", tmp_path / "results.json")


def test_the_page_is_whole_and_escapes_names(tmp_path: Path) -> None:
    path, file = make(tmp_path, "<script>alert(1)<&", insects(0.1)), tmp_path / "board.html"
    run(path, "--html", file)
    html = file.read_text()
    assert "<script" not in html and "&lt;script&gt;alert(1)&lt;&amp;" in html
    assert "data:image/svg+xml;base64," in html
    assert "http" not in html  # nothing is loaded from elsewhere


def test_control_characters_in_a_name_do_not_reach_the_terminal(tmp_path: Path) -> None:
    out = run(make(tmp_path, "red\x1b[31m [bold]x", insects(0.1)))
    assert "\x1b" not in out
    assert r"red\x1b[31m [bold]x" in out


def test_a_baseline_without_runs_is_refused() -> None:
    done = CliRunner().invoke(command, ["leaderboard", "--baseline", "none.json"])
    assert done.exit_code == 2 and "--baseline counts the points of runs. Name some" in done.output
