"""Trees of domains: the best one that fits, and training over it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from decathlon.adapters.branch import read_tree
from decathlon.cli.main import command
from decathlon.errors import UsageError
from decathlon.experiments.resume import resume
from decathlon.inference.branching import apart, choose_tree, merged, stage_sizes, to_text
from decathlon.models.footprint import Convention
from decathlon.models.trunks.registry import build
from decathlon.runs.loading import load_run
from decathlon.system.progress import TrainingProgress
from tests.helpers.runs import RECIPE, digests, dying_at, go

ALIKE = {  # a with b, c with d
    "a": {"a": 1.0, "b": 0.9, "c": 0.1, "d": 0.1}, "b": {"a": 0.9, "b": 1.0, "c": 0.1, "d": 0.1},
    "c": {"a": 0.1, "b": 0.1, "c": 1.0, "d": 0.8}, "d": {"a": 0.1, "b": 0.1, "c": 0.8, "d": 1.0},
}  # fmt: skip
EQUAL = {one: dict.fromkeys("abcd", 1.0) for one in "abcd"}


@pytest.mark.parametrize(
    ("budget", "wanted"), [(1, "a,b,c,d/a,b,c,d"), (1.75, "a,b,c,d/a,b|c,d"), (3.25, "a,b,c,d/a|b|c|d")]
)
def test_the_tree_splits_what_differs_where_it_differs(budget: float, wanted: str) -> None:
    tree, size = choose_tree([EQUAL, ALIKE], [0.1, 0.15, 0.75], budget)
    assert to_text(tree) == wanted and size == pytest.approx(budget)
    assert read_tree(wanted) == tree


def test_no_tree_is_larger_than_the_budget_and_branches_never_meet_again() -> None:
    generator = torch.Generator().manual_seed(0)
    for budget in (1.0, 1.7, 2.5, 4.0):
        tables = []
        for _ in range(3):
            values = torch.rand(4, 4, generator=generator)
            values = (values + values.T) / 2
            tables.append({a: {b: values[i, j].item() for j, b in enumerate("abcd")} for i, a in enumerate("abcd")})
        tree, size = choose_tree(tables, [0.05, 0.15, 0.3, 0.5], budget)
        assert size <= budget + 1e-6 and read_tree(to_text(tree)) == tree


def test_average_linkage_merges_the_most_alike_first() -> None:
    assert merged([["a"], ["b"], ["c"], ["d"]], ALIKE, 3) == [["a", "b"], ["c"], ["d"]]
    assert apart([["a", "b"], ["c"], ["d"]], ALIKE) == pytest.approx(2 * 0.05 / 4)


def test_less_than_a_trunk_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a budget of 0\.5 is less than one trunk"):
        choose_tree([EQUAL], [0.2, 0.8], 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b/a", "not the same domains in every stage"), ("a,a", "a domain twice"), ("a,/a,b", "without a name"),
        ("a|b/a,b", "branches that were apart meet again"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_tree_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_tree(text)


def test_sizes_are_those_of_the_convolutions() -> None:
    trunk = build("wrn-10-1")
    sizes = stage_sizes(trunk, [trunk.get_submodule(f"stage{number}") for number in (1, 2, 3)])
    assert sum(sizes) == pytest.approx(1) and sizes == sorted(sizes)


def test_from_a_run_to_a_tree_and_a_run_over_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = go(tiny, tmp_path / "trunk", recipe=RECIPE.override({"epochs": 1})).folder
    done = CliRunner().invoke(command, ["branch", str(trunk), "--budget", "2", "--data", str(tiny)])
    assert done.exit_code == 0, done.output + str(done.exception)
    found: dict[str, Any] = json.loads((trunk / "branch.json").read_text())
    assert found["size"] <= 2 and "Next: decathlon train" in done.stdout
    words = shlex.split(done.stdout.splitlines()[-1])
    assert words[words.index("--set") + 1] == f"tree={found['tree']}"
    again = CliRunner().invoke(command, ["branch", str(trunk), "--budget", "2", "--data", str(tiny)])
    assert "replace it with --force" in str(again.exception)
    asked: dict[str, Any] = {"options": {"tree": found["tree"]}, "trunk": str(trunk)}
    with dying_at(monkeypatch, 10):
        go(tiny, tmp_path / "run", "branch", **asked)
    run = resume(tmp_path / "run", None, TrainingProgress())
    assert digests(run) == digests(go(tiny, tmp_path / "whole", "branch", **asked))
    model = load_run(run.folder, "cpu").model
    ratio = model.footprint().ratio(Convention(heads=False, norms="out", nine=False))
    assert ratio == pytest.approx(found["size"], rel=0.01)


@pytest.mark.parametrize(
    ("tree", "message"),
    [("apples/apples", "the tree has 2 stages and wrn-10-1 3"), ("a/a/a", "is not in the tree")],
)
def test_a_tree_of_another_trunk_or_without_a_domain_is_refused(
    tiny: Path, tmp_path: Path, tree: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        go(tiny, tmp_path / "run", "branch", options={"tree": tree})
    assert not (tmp_path / "run").exists()
