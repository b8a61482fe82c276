"""Likeness of domains: measures against published numbers and closed forms, and what runs record of gradients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import nn

from decathlon.cli.main import command
from decathlon.errors import UsageError
from decathlon.experiments.resume import resume
from decathlon.inference import similarity
from decathlon.inference.affinity import affinity
from decathlon.system.progress import TrainingProgress
from decathlon.training.gradient_affinity import GradientAffinity
from tests.conftest import outside
from tests.helpers.aggregators import need
from tests.helpers.packs import TINY
from tests.helpers.runs import RECIPE, digests, dying_at, go, make_trainer


def test_cka_is_the_published_unbiased_one() -> None:
    numbers = load_file(outside("DECATHLON_GOLDEN", "golden") / "cka.safetensors")
    for i in range(3):
        for j in range(3):
            found = similarity.cka(numbers[f"features/{i}"], numbers[f"features/{j}"])
            assert found == pytest.approx(numbers["unbiased/cka"][i, j].item(), abs=1e-6)


def test_rsa_is_the_rank_correlation_of_distances() -> None:
    features = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    assert similarity.rsa(features, 3 * features + 1) == pytest.approx(1)
    other = torch.randn(12, 7, generator=torch.Generator().manual_seed(1))
    distances = [
        [(1 - torch.corrcoef(f)[i, j]).item() for i in range(12) for j in range(i + 1, 12)]
        for f in (features, other)
    ]
    ranks = [[sorted(row).index(value) for value in row] for row in distances]
    wanted = torch.corrcoef(torch.tensor(ranks).double())[0, 1].item()
    assert similarity.rsa(features, other) == pytest.approx(wanted, abs=1e-9)


def test_equal_values_share_a_rank() -> None:
    assert similarity._ranks(torch.tensor([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_cosines_are_those_of_the_gradients_summed_over_an_epoch() -> None:
    conv = nn.Parameter(torch.zeros(1, 2, 1, 1))
    measured = GradientAffinity(("a", "b", "c"), [nn.Parameter(torch.zeros(3)), conv])
    for first, steps in (
        (True, [("a", [9.0, 9.0])]),
        (True, [("a", [1.0, 0.0]), ("b", [1.0, 1.0])]),
        (False, [("a", [0.0, 1.0])]),
    ):
        conv.grad = None
        measured.begin(first)
        for domain, gradient in steps:
            added = torch.tensor(gradient).view_as(conv)
            conv.grad = added.clone() if conv.grad is None else conv.grad + added
            measured.collect(domain)
    found = measured.cosines()
    assert found["a"]["b"] == pytest.approx(1) and found["a"]["a"] == pytest.approx(1)
    assert found["a"]["c"] == found["c"]["b"] == 0  # no gradient of c


@pytest.mark.parametrize("weighting", ["equal", "pcgrad"])
def test_what_a_weighting_takes_out_is_measured_all_the_same(tiny: Path, weighting: str) -> None:
    if weighting == "pcgrad":
        need("pcgrad")
    trainer = make_trainer(
        tiny, recipe=RECIPE.override({"affinity": True, "together": True, "weighting": weighting})
    )
    trainer.advance()
    assert trainer.affinity is not None
    reference = make_trainer(tiny, recipe=RECIPE.override({"affinity": True, "together": True}))
    reference.advance()
    assert reference.affinity is not None
    torch.testing.assert_close(trainer.affinity.rows, reference.affinity.rows, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def recorded(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go(tiny, tmp_path_factory.mktemp("affinity") / "run", recipe=RECIPE.override({"affinity": True})).folder


def test_gradients_are_recorded_and_a_death_changes_nothing(
    tiny: Path, tmp_path: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPE.override({"affinity": True})
    with dying_at(monkeypatch, 13):
        go(tiny, tmp_path / "run", recipe=recipe)
    run = resume(tmp_path / "run", None, TrainingProgress())
    assert digests(run) == {name: value for name, value in digests(type(run)(recorded)).items()}
    found, title = affinity(recorded, "gradients")
    assert set(found) == set(TINY.names) and "mean over 3 epochs" in title
    assert all(found[one][two] == pytest.approx(found[two][one]) for one in found for two in found)
    last, _ = affinity(recorded, "gradients", epoch=3)
    assert last != found
    with pytest.raises(UsageError, match="has epochs 1 to 3, not 9"):
        affinity(recorded, "gradients", epoch=9)


def invoke(*words: Any) -> Any:
    return CliRunner().invoke(command, ["affinity", *map(str, words)])


@pytest.mark.parametrize("by", ["cka", "rsa"])
def test_the_command_compares_features_and_draws_them(tiny: Path, tmp_path: Path, recorded: Path, by: str) -> None:
    done = invoke(recorded, "--by", by, "--data", tiny, "--images", 4, "--plot", tmp_path / "a.png")
    assert done.exit_code == 0 and "Most alike:" in done.stdout and all(name in done.stdout for name in TINY.names)
    assert (tmp_path / "a.png").stat().st_size > 1000
    told = invoke(recorded, "--by", by, "--data", tiny, "--images", 4, "--json")
    table = json.loads(told.stdout)["affinity"]
    assert all(table[name][name] == 1 for name in TINY.names)
    again = invoke(recorded, "--data", tiny, "--plot", tmp_path / "a.png")
    assert "replace it with --force" in str(again.exception)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Name a packed file with --data"),
        (["--data", "TINY", "--tap", 9], "has taps 0 to 3, not 9"),
        (["--data", "TINY", "--images", 1], "are too few to compare features by. Add --images"),
        (["--by", "prior"], "is a run of bn. --by prior needs one of relationship"),
        (["--data", "TINY", "--plot", "a.txt"], "Give it the ending .png, .pdf or .svg"),
    ],
)
def test_mistakes_are_named(tiny: Path, recorded: Path, words: list[Any], message: str) -> None:
    done = invoke(recorded, *[tiny if word == "TINY" else word for word in words])
    assert done.exit_code and message in done.output + str(done.exception)


def test_the_prior_of_relationship_is_shown(tiny: Path, tmp_path: Path) -> None:
    run = go(tiny, tmp_path / "run", "relationship", recipe=RECIPE.override({"epochs": 1}))
    found, _ = affinity(run.folder, "prior")
    assert all(found[name][name] == 1 and abs(value) <= 1 for name in found for value in found[name].values())
    with pytest.raises(UsageError, match="has no record of gradients"):
        affinity(run.folder, "gradients")


def test_affinity_is_refused_where_there_are_no_gradients_to_compare(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="affinity needs the gradients of several domains"):
        go(tiny, tmp_path / "run", "parallel", recipe=RECIPE.override({"affinity": True}))
