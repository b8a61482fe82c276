"""Baseline errors kept from a run, and the whole pipeline from one's own data to points against them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from decathlon.cli.main import command
from decathlon.data.ground_truth import Truth
from decathlon.data.official import OFFICIAL
from decathlon.data.truth_file import TruthDomain
from decathlon.errors import DataError, UsageError
from decathlon.scoring.baseline import OFFICIAL_TEXT, SavedBaseline, find_baseline, kept_baseline, rebased
from decathlon.scoring.score import Baseline, DomainScore, Score
from decathlon.scoring.seed_scores import GroupScore
from decathlon.system.files import write_json

ROAD = ["--method", "bn", "--trunk", "wrn-10-1", "--epochs", "6", "--batch", "8", "--size", "16", "--side", "18"]


def run(*words: object) -> str:
    outcome = CliRunner().invoke(command, list(map(str, words)), catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def colours(root: Path, names: dict[str, tuple[int, int, int]], count: int = 20) -> Path:
    """Write plain images that any network learns to distinguish, no two the same."""
    for name, (red, green, blue) in names.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (16 + i, 16), (red + i, green, blue)).save(root / name / f"{i}.png")
    return root


def test_the_pipeline_from_own_images_to_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    colours(tmp_path / "paint", {"red": (200, 20, 20), "green": (20, 200, 20)})
    colours(tmp_path / "wool", {"blue": (20, 20, 200), "white": (220, 220, 220), "black": (0, 0, 0)})
    run("data", "add", "mine.h5", "--name", "paint", "--from", "paint")
    run("data", "add", "mine.h5", "--name", "wool", "--from", "wool", "--split", "50/25/25")
    run("train", "--data", "mine.h5", *ROAD, "-o", "run")
    assert "Next: decathlon score run --truth mine-truth\n" in run("predict", "run", "--data", "mine.h5")
    said = run("predict", "run", "--split", "val", "--data", "mine.h5")
    assert "Next: decathlon score run --split val --truth mine.h5\n" in said
    assert "Validation accuracy, no total" in run("score", "run", "--split", "val", "--truth", "mine.h5")
    said = run("predict", "run", "--split", "val", "--data", "mine.h5", "-o", "v.json")
    assert "Next: decathlon score v.json --truth mine.h5\n" in said
    bare = run("score", "run", "--truth", "mine-truth", "--data", "mine.h5", "--save-baseline", "kept.json")
    assert "saved the errors. Score other runs with --baseline kept.json" in bare
    assert "No baseline error for paint, wool." in bare
    found = Score.read(Path("run"))
    assert {d.name: d.images for d in found.domains} == {"paint": 10, "wool": 15}
    assert min(d.accuracy for d in found.domains) > 0.6  # labels and truth belong together
    errors = {"paint": {"error": 0.25, "images": 10}, "wool": {"error": 0.3, "images": 15}}
    assert {n: d["images"] for n, d in json.loads(Path("kept.json").read_text())["baseline_errors"].items()} == {
        name: entry["images"] for name, entry in errors.items()
    }
    write_json(Path("other.json"), {"baseline_errors": errors, "baseline": "a slower network"})
    run("score", "run", "--truth", "mine-truth", "--baseline", "other.json")
    again = Score.read(Path("run"))
    assert again.baseline == "measured: a slower network"
    total = sum(1000 * max(0, 1 - d.error / (2 * errors[d.name]["error"])) ** 2 for d in found.domains)
    assert again.total == pytest.approx(total)


def truth(**images: int) -> Truth:
    domains = []
    for index, (name, count) in enumerate(images.items(), 11):
        base = index * 10**7
        answers = {base + 200_000 + i: base + 1 for i in range(count)}
        domains.append(TruthDomain(name, frozenset({base + 1, base + 2}), answers))
    return Truth(Path("t"), tuple(domains))


def kept(path: Path, **errors: tuple[float, int]) -> str:
    domains = {name: {"error": error, "images": images} for name, (error, images) in errors.items()}
    write_json(path, {"baseline_errors": domains, "baseline": "finetune, 20 epochs"})
    return str(path)


def test_a_score_comes_back_as_a_baseline(tmp_path: Path) -> None:
    path = kept(tmp_path / "b.json", ant=(0.1, 10), bee=(0.25, 4))
    found = SavedBaseline.read(Path(path))
    assert found is not None and json.loads(Path(path).read_text()) | {"split": "test"} == found.to_json()
    measured = find_baseline(truth(ant=10, bee=4), path)
    assert (measured.text, measured.errors) == ("measured: finetune, 20 epochs", {"ant": 0.1, "bee": 0.25})


def test_domains_that_were_not_measured_keep_the_official_errors(tmp_path: Path) -> None:
    facts = OFFICIAL["dtd"]
    base = facts.index * 10**7
    categories = frozenset(base + 1 + k for k in range(facts.classes))
    official = TruthDomain("dtd", categories, {base + 200_000 + i: base + 1 for i in range(facts.test)})
    mixed = replace(truth(ant=10), domains=(official, *truth(ant=10).domains))
    found = find_baseline(mixed, kept(tmp_path / "b.json", ant=(0.1, 10)))
    assert found.errors == {"ant": 0.1, "dtd": facts.finetune_error}
    assert found.text == f"measured: finetune, 20 epochs; dtd: {OFFICIAL_TEXT}"
    alone = find_baseline(truth(ant=10, bee=4), kept(tmp_path / "c.json", ant=(0.1, 10)))
    assert (alone.text, alone.errors) == ("measured: finetune, 20 epochs", {"ant": 0.1})


def test_a_baseline_of_other_domains_alone_is_refused_or_leaves_a_row_as_it_is(tmp_path: Path) -> None:
    other = kept(tmp_path / "b.json", wasp=(0.1, 10))
    with pytest.raises(UsageError, match=r"b.json holds errors of wasp alone. Name another --baseline."):
        find_baseline(truth(ant=10), other)
    row = Score((DomainScore("ant", 0.9, 0.1, 10, 0.2),), "older")
    assert rebased(row, other) == row


def test_a_kept_baseline_has_the_same_text_however_often_it_is_kept(tmp_path: Path) -> None:
    default = Baseline("usual", {"ant": 0.2, "bee": 0.3})
    before, file = Baseline("measured", {"ant": 0.1}), tmp_path / "score.json"
    for _ in range(3):
        domain = DomainScore("ant", 0.9, 0.1, 10, before.errors["ant"])
        write_json(file, Score((domain,), before.text, ("bee",)).to_json())
        found = kept_baseline([file], truth(ant=10, bee=4), default)
        assert found is not None
        before = found
    assert before.text == "measured; bee: usual"


def test_a_group_is_kept_as_its_mean() -> None:
    protocol = {"method": "finetune", "fit": "train", "epochs": 2}
    scores = tuple(Score((DomainScore("ant", 1 - e, e, 10),), "none", (), protocol) for e in (0.1, 0.2))
    found = SavedBaseline.of(GroupScore((0, 1), scores).mean())
    assert math.isclose(found.errors["ant"], 0.15) and found.images == {"ant": 10}
    assert found.text == "finetune, train, 2 epochs, seeds 0–1" or found.text.startswith(
        "finetune, train, 2 epochs"
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"baseline_errors": []}, "Make one with 'decathlon score RUN --truth PATH --save-baseline FILE.json'"),
        ({"baseline_errors": {"ant": 0.1}, "baseline": ""}, "is not a baseline"),
        ({"baseline_errors": {"ant": {"error": "x", "images": 1}}, "baseline": ""}, "is not a baseline"),
        (
            {"baseline_errors": {"ant": {"error": 1.5, "images": 1}}, "baseline": ""},
            "['ant'].error is 1.5, not a number 0 to 1",
        ),
        ({"baseline_errors": {"ant": {"error": 0.1, "images": 9}}, "baseline": ""}, "9 images of ant, the ground"),
        ({"errors": {}}, "is not a score"),
    ],
)
def test_a_wrong_baseline_is_refused(tmp_path: Path, document: object, message: str) -> None:
    write_json(tmp_path / "b.json", document)
    with pytest.raises(DataError) as refusal:
        find_baseline(truth(ant=10), str(tmp_path / "b.json"))
    assert message in str(refusal.value)


def test_a_baseline_is_not_overwritten(tmp_path: Path) -> None:
    path = kept(tmp_path / "b.json", ant=(0.1, 10))
    with pytest.raises(UsageError, match="b.json already exists"):
        run("score", "x", "--truth", "t", "--save-baseline", path)


def test_a_score_counts_anew_against_another_baseline(tmp_path: Path) -> None:
    domains = DomainScore("ant", 0.9, 0.1, 10, 0.2, 0.5), DomainScore("bee", 0.75, 0.25, 4, 0.25)
    found = rebased(Score(domains, "older"), kept(tmp_path / "b.json", ant=(0.1, 10)))
    assert [(d.name, d.baseline_error, d.points) for d in found.domains] == [
        ("ant", 0.1, 250.0),
        ("bee", 0.25, 250.0),
    ]
    assert found.baseline == "measured: finetune, 20 epochs; bee: older" and found.domains[0].majority == 0.5
    with pytest.raises(DataError, match="measured on another benchmark: 11 images of ant"):
        rebased(Score(domains, "older"), kept(tmp_path / "c.json", ant=(0.1, 11)))
    with pytest.raises(UsageError, match="the official baseline is for the official domains"):
        rebased(Score(domains, "older"), "official")
    dtd = DomainScore("dtd", 0.5, 0.5, OFFICIAL["dtd"].test)
    assert rebased(Score((dtd,), "none"), "official").domains[0].baseline_error == OFFICIAL["dtd"].finetune_error
