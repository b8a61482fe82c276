"""The score: its formula, its baselines, the command, and the released ground truth of the challenge."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.data.domains import Benchmark, Category, Domain
from decathlon.data.ground_truth import Truth, read_truth
from decathlon.data.official import OFFICIAL
from decathlon.data.truth_file import TruthDomain
from decathlon.errors import DataError, UsageError
from decathlon.scoring.baseline import NO_BASELINE, OFFICIAL_TEXT, find_baseline, kept_baseline
from decathlon.scoring.results import Results, write_results
from decathlon.scoring.score import Baseline, DomainScore, Score, points, score
from decathlon.system.checksums import seal
from decathlon.system.files import write_json
from tests.conftest import outside


@pytest.fixture(scope="module")
def labels() -> Truth:
    return read_truth(outside("DECATHLON_TEST_LABELS", "data/decathlon-test-labels.zip"))


def answers(truth: Truth, wrong: dict[str, int] | None = None) -> Results:
    """Return perfect results, but for the first `wrong[domain]` images of each domain."""
    images, categories = [], []
    for domain in truth.domains:
        first, second = sorted(domain.categories)[:2]
        for i, (image, category) in enumerate(domain.answers.items()):
            images.append(image)
            corrupt = i < (wrong or {}).get(domain.name, 0)
            categories.append((second if category == first else first) if corrupt else category)
    return Results(Path("results.json"), tuple(images), tuple(categories))


def small(index: int, name: str, images: int = 10) -> TruthDomain:
    base = index * 10**7
    return TruthDomain(name, frozenset({base + 1, base + 2}), {base + 200000 + i: base + 1 for i in range(images)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A truth of two domains, ten images each, and a run with perfect results for it."""
    truth = Truth(tmp_path, (small(1, "ant"), small(2, "bee")))
    for domain in truth.domains:
        document = {
            "images": [{"id": image} for image in domain.answers],
            "annotations": [{"image_id": i, "category_id": c} for i, c in domain.answers.items()],
            "categories": [{"id": category} for category in sorted(domain.categories)],
        }
        write_json(tmp_path / "truth" / "annotations" / f"{domain.name}_test.json", document)
    for name, wrong in (("run", 1), ("finetune", 2)):
        results = answers(truth, {"ant": wrong, "bee": wrong})
        protocol = {"method": name, "fit": "train", "benchmark": "insects"}
        write_results(tmp_path / name / "results.json", results.image_ids, results.category_ids, protocol)
    return tmp_path


def run(*arguments: object, code: int = 0) -> str:
    outcome = CliRunner().invoke(command, ["score", *map(str, arguments)], catch_exceptions=False)
    assert outcome.exit_code == code, outcome.output
    return outcome.stdout


def test_points_are_those_of_the_paper() -> None:
    assert points(0.0, 0.2) == 1000
    assert points(0.2, 0.2) == 250
    assert points(0.4, 0.2) == points(0.9, 0.2) == 0
    assert points(0.1, 0.2) == pytest.approx(562.5)
    assert points(0.0, 0.0) is None


def test_perfect_results_score_ten_thousand(labels: Truth) -> None:
    found = score(answers(labels), labels, find_baseline(labels))
    assert found.total == 10000.0
    assert (found.baseline, found.mean_accuracy) == (OFFICIAL_TEXT, 1.0)
    assert {d.name: d.images for d in found.domains} == {name: facts.test for name, facts in OFFICIAL.items()}


def test_the_errors_of_finetune_score_2500(labels: Truth) -> None:
    wrong = {name: round(facts.finetune_error * facts.test) for name, facts in OFFICIAL.items()}
    found = score(answers(labels, wrong), labels, find_baseline(labels, "official"))
    assert found.total == pytest.approx(2500, abs=5)


def test_a_score_comes_back_from_json() -> None:
    truth = Truth(Path("t"), (small(1, "ant"), small(2, "bee")))
    found = score(answers(truth, {"ant": 3}), truth, Baseline("somebody's", {"ant": 0.3, "bee": 0.1}))
    data = json.loads(json.dumps(found.to_json()))
    assert Score.from_json(data, "score.json") == found
    assert data["domains"]["ant"] == {
        "accuracy": 0.7, "error": 0.3, "points": 250.0, "baseline_error": 0.3, "images": 10,
        "majority": 1.0,
    }  # fmt: skip
    assert (data["score"], data["mean_accuracy"], data["baseline"]) == (1250.0, 0.85, "somebody's")


def test_a_score_that_contradicts_itself_is_refused() -> None:
    found = Score((DomainScore("ant", 0.9, 0.1, 10, 0.1),), "b").to_json()
    with pytest.raises(DataError, match="contradicts itself"):
        Score.from_json({**found, "score": 9999.0}, "score.json")
    with pytest.raises(DataError, match="is not a score"):
        Score.from_json([], "score.json")
    with pytest.raises(DataError, match="is not a score"):
        Score.from_json({**found, "domains": {"ant": {**found["domains"]["ant"], "accuracy": 1.7}}}, "score.json")


def test_without_a_baseline_there_are_accuracies_and_a_sentence() -> None:
    truth = Truth(Path("t"), (small(1, "ant"),))
    found = score(answers(truth), truth, NO_BASELINE)
    assert (found.total, found.mean_accuracy) == (None, 1.0)
    assert found.notes() == [
        "No baseline error for ant. For points, score a fine-tuned run with --save-baseline FILE.json, "
        "then this one with --baseline FILE.json."
    ]


def test_a_baseline_without_error_gives_no_points() -> None:
    truth = Truth(Path("t"), (small(1, "ant"), small(2, "bee")))
    found = score(answers(truth), truth, Baseline("perfect", {"ant": 0.0, "bee": 0.1}))
    assert [domain.points for domain in found.domains] == [None, 1000.0]
    assert found.total is None
    assert "makes no error on ant" in found.notes()[0]


def test_a_missing_domain_leaves_no_total() -> None:
    truth = Truth(Path("t"), (small(1, "ant"), small(2, "bee")))
    half = answers(replace(truth, domains=truth.domains[:1]))
    found = score(half, truth, Baseline("b", {"ant": 0.1, "bee": 0.1}), partial=True)
    assert (found.total, found.missing, len(found.domains)) == (None, ("bee",), 1)
    assert "No prediction for bee" in found.notes()[0]
    assert Score.from_json(found.to_json(), "score.json") == found


def test_the_official_errors_belong_to_the_official_domains_only() -> None:
    sibling = Truth(Path("t"), (small(1, "aircraft"),))
    assert find_baseline(sibling) == NO_BASELINE
    with pytest.raises(UsageError, match="does not hold the official aircraft"):
        find_baseline(sibling, "official")


def test_the_command_takes_the_errors_of_another_run(folder: Path) -> None:
    run(folder / "finetune", "--truth", folder / "truth")
    out = run(folder / "run", "--truth", folder / "truth", "--baseline", folder / "finetune", "--json")
    data = json.loads(out)
    assert data["score"] == pytest.approx(2 * 562.5)
    assert data["protocol"]["method"] == "run"
    assert json.loads((folder / "run" / "score.json").read_text()) == seal(data)
    same = run(folder / "run", "--truth", folder / "truth", "--baseline", folder / "finetune/score.json", "--json")
    assert json.loads(same)["score"] == data["score"]


def test_replacing_another_score_is_reported(folder: Path) -> None:
    def stderr(*options: object) -> str:
        words = ["score", folder / "run", "--truth", folder / "truth", *options, "--json"]
        said = CliRunner().invoke(command, list(map(str, words)), catch_exceptions=False).stderr
        return "".join(line for line in said.splitlines(True) if not line.startswith("not compared: "))

    run(folder / "finetune", "--truth", folder / "truth")
    file = folder / "run" / "score.json"
    assert stderr() == stderr() == ""
    assert (
        stderr("--baseline", folder / "finetune") == f"replaced an earlier score (its baseline was none): {file}\n"
    )
    file.write_text("[]")
    assert stderr() == f"replaced an earlier score: {file}\n"


def test_a_baseline_of_another_benchmark_is_refused(folder: Path) -> None:
    other = Score((DomainScore("ant", 0.9, 0.1, 11),), "none")
    write_json(folder / "other.json", other.to_json())
    with pytest.raises(DataError, match="11 images of ant, the ground truth has 10"):
        find_baseline(read_truth(folder / "truth"), str(folder / "other.json"))
    with pytest.raises(DataError, match=r"run has no score.json. Run 'decathlon score .*run --truth PATH' first"):
        find_baseline(read_truth(folder / "truth"), str(folder / "run"))
    with pytest.raises(UsageError, match="absent.json does not exist. Name a score.json"):
        find_baseline(read_truth(folder / "truth"), str(folder / "absent.json"))


def benchmark(*, error: float | None, classes: int = 2) -> Benchmark:
    half = (0.5, 0.5, 0.5)
    return Benchmark("insects", tuple(
        Domain(name, i, tuple(Category(i * 10**7 + k, str(k)) for k in range(1, classes + 1)), half, half,
               baseline_error=error)
        for i, name in ((1, "ant"), (2, "bee"))
    ), "a small network")  # fmt: skip


@pytest.mark.parametrize("place", ["truth", "truth/annotations", "."])
def test_a_benchmark_beside_the_truth_supplies_its_errors(folder: Path, place: str) -> None:
    write_json(folder / place / "benchmark.json", benchmark(error=0.2).to_json())
    source = folder / "truth/annotations" if place == "truth/annotations" else folder / "truth"
    found = find_baseline(read_truth(source))
    assert found == Baseline("insects: a small network", {"ant": 0.2, "bee": 0.2})


def test_a_benchmark_without_errors_supplies_none_and_another_one_is_refused(folder: Path) -> None:
    write_json(folder / "truth" / "benchmark.json", benchmark(error=None).to_json())
    assert find_baseline(read_truth(folder / "truth")) == NO_BASELINE
    write_json(folder / "truth" / "benchmark.json", benchmark(error=0.2, classes=3).to_json())
    with pytest.raises(DataError, match="categories of ant differ"):
        find_baseline(read_truth(folder / "truth"))


def test_official_errors_keep_their_name_whatever_their_source(labels: Truth) -> None:
    truth = Truth(labels.source, labels.domains[:1])
    assert find_baseline(truth).text == OFFICIAL_TEXT
    assert find_baseline(truth).errors == {"aircraft": 0.3966}


def test_the_score_is_shown_as_a_table(folder: Path) -> None:
    run(folder / "finetune", "--truth", folder / "truth")
    out = run(folder / "run", "--truth", folder / "truth", "--baseline", folder / "finetune")
    assert "Score 1125.0 of 2000" in out
    assert "Protocol: method run, fit train, benchmark insects." in out
    assert f"Baseline: measured: the errors of {folder / 'finetune'}." in out
    (line,) = (line for line in out.splitlines() if line.startswith("ant"))
    assert line.split() == ["ant", "10", "90.00", "10.00", "20.00", "562.5"]


def test_a_results_file_gets_a_score_only_with_output(folder: Path) -> None:
    results, output = folder / "run" / "results.json", folder / "out.json"
    run(results, "--truth", folder / "truth")
    assert not (folder / "run" / "score.json").exists()
    run(results, "--truth", folder / "truth", "-o", output)
    assert json.loads(output.read_text())["mean_accuracy"] == 0.9
    with pytest.raises(UsageError, match="already exists"):
        run(results, "--truth", folder / "truth", "-o", output)


def test_bad_results_end_with_exit_code_3_and_the_list(folder: Path) -> None:
    (folder / "bad.json").write_text('[{"image_id": 1, "category_id": 2}]')
    program = "from decathlon.cli.main import main; main()"
    arguments = ["score", str(folder / "bad.json"), "--truth", str(folder / "truth"), "--json"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 3 and done.stdout == ""
    assert "bad.json cannot be scored: it answers no test image of ant, bee" in done.stderr
    assert "Traceback" not in done.stderr


def test_scoring_imports_no_torch(folder: Path) -> None:
    program = (
        "import sys\nfrom decathlon.cli.main import command\n"
        "command.main(sys.argv[1:], standalone_mode=False)\nassert 'torch' not in sys.modules"
    )
    arguments = ["score", str(folder / "run"), "--truth", str(folder / "truth")]
    subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=True)


def test_a_score_knows_the_truth_it_was_made_against(tmp_path: Path) -> None:
    ant, bee = small(1, "ant"), small(2, "bee")
    turned = replace(ant, answers=dict(sorted(ant.answers.items(), reverse=True)))
    other = replace(ant, answers={**ant.answers, 10_200_000: 10_000_002})
    truths = [Truth(tmp_path, domains) for domains in ((ant, bee), (bee, turned), (other, bee))]
    first, same, changed = (score(answers(truth), truth, NO_BASELINE) for truth in truths)
    assert first.truth == same.truth != changed.truth and len(str(first.truth)) == 64
    assert Score.from_json(first.to_json(), "s").truth == first.truth
    alone = score(answers(Truth(tmp_path, (ant,))), truths[0], NO_BASELINE, partial=True)
    assert alone.truth == Truth(tmp_path, (ant,)).digest() != first.truth  # only what was answered counts
    for wrong in ("", "F" * 64, 7):
        with pytest.raises(DataError, match="truth_sha256 is .*, not a SHA-256 or null"):
            Score.from_json(first.to_json() | {"truth_sha256": wrong}, "s")


def stderr(*words: object) -> str:
    return CliRunner().invoke(command, ["score", *map(str, words)], catch_exceptions=False).stderr


def test_a_run_that_is_scored_again_keeps_its_baseline(folder: Path) -> None:
    truth, mine = ("--truth", folder / "truth"), folder / "run"
    run(folder / "finetune", *truth)
    before = run(mine, *truth, "--baseline", folder / "finetune", "--json")
    (folder / "finetune" / "score.json").unlink()  # what it was measured from may be gone
    kept = f"kept the baseline of the earlier score (measured: the errors of {folder / 'finetune'}); --force takes"
    assert stderr(mine, *truth, "--json").startswith(kept)
    assert json.loads((mine / "score.json").read_text()) == seal(json.loads(before))
    assert stderr(mine, *truth, "-o", folder / "again.json").startswith(kept)
    assert (folder / "again.json").read_bytes() == (mine / "score.json").read_bytes()
    assert (
        run(mine / "results.json", *truth, "--json") != before
    )  # only a score that would be replaced is looked at
    assert "replaced an earlier score (its baseline was measured" in stderr(mine, *truth, "--force")
    assert Score.read(mine).total is None


def test_a_benchmark_that_was_named_is_kept_as_the_baseline(folder: Path) -> None:
    truth = "--truth", folder / "truth"
    write_json(folder / "truth" / "benchmark.json", benchmark(error=0.2).to_json())
    run(folder / "run", *truth)
    (folder / "truth" / "benchmark.json").unlink()
    assert stderr(folder / "run", *truth).startswith(
        "kept the baseline of the earlier score (insects: a small network)"
    )
    assert Score.read(folder / "run").total == pytest.approx(2 * 562.5)


def test_a_kept_baseline_fits_the_images_or_is_refused(folder: Path) -> None:
    truth = read_truth(folder / "truth")
    file = folder / "run" / "score.json"
    default = Baseline("usual", {"bee": 0.5})
    assert kept_baseline([file], truth, default) is None
    write_json(file, Score((DomainScore("ant", 0.9, 0.1, 10, 0.2),), "mine", ("bee",)).to_json())
    assert kept_baseline([file], truth, default) == Baseline("mine; bee: usual", {"ant": 0.2, "bee": 0.5})
    assert kept_baseline([file], truth, Baseline("usual", {"ant": 0.2})) is None
    for other in (DomainScore("ant", 0.9, 0.1, 11, 0.2), DomainScore("wasp", 0.9, 0.1, 11, 0.2)):
        write_json(file, Score((other,), "mine").to_json())
        with pytest.raises(
            UsageError, match="scored on other images than .* Name a baseline .* usual one with --force"
        ):
            kept_baseline([file], truth, default)
    write_json(
        file, Score((DomainScore("ant", 0.9, 0.1, 10, 0.2), DomainScore("bee", 0.9, 0.1, 10, 0.5)), "u").to_json()
    )
    assert kept_baseline([file], replace(truth, domains=truth.domains[1:]), default) is None  # of a part of it
    others = [folder / "a.json", folder / "b.json"]
    for path, error in zip(others, (0.2, 0.3), strict=True):
        write_json(path, Score((DomainScore("ant", 0.9, 0.1, 10, error),), "mine").to_json())
    with pytest.raises(UsageError, match="a.json and .*b.json were scored against different baselines"):
        kept_baseline(others, truth, default)
