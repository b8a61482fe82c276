"""A method over a run of its own kind: it continues with all that run learned, or says that it starts anew."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from decathlon.data.image_pool import load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError
from decathlon.experiments.resume import resume
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.registry import METHODS, explain, find_method
from decathlon.runs.loading import load
from decathlon.runs.run_directory import Run
from decathlon.runs.trunk_source import find_trunk
from decathlon.system.progress import TrainingProgress
from decathlon.training.trainer import Trainer
from tests.helpers.marks import quickly, slow
from tests.helpers.runs import RECIPE, digests, dying_at, go

CPU = torch.device("cpu")
SHORT = RECIPE.override({"epochs": 1, "together": True})
NEEDS = {"parallel-svd": "parallel"}  # a run that a method starts from
OVER = {"bn", "dan", "feature", "finetune", "parallel", "piggyback"}  # over a trained trunk, with norms of its own


@pytest.fixture(scope="module")
def runs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("kinds")

    @cache
    def trained(method: str, *options: tuple[str, Any]) -> Run:
        trunk = str(trained("split").folder) if method in OVER else "wrn-10-1"
        trunk = str(trained(NEEDS[method]).folder) if method in NEEDS else trunk
        regime = "joint" if method in ("series", "bn") else None
        name = "-".join((method, *(name for name, _ in options)))
        return go(tiny, folder / name, method, trunk=trunk, recipe=SHORT, options=dict(options), regime=regime)

    return trained


def first_losses(model: MultiDomainModel, tiny: Path) -> list[list[float]]:
    """Return sums of losses, correct answers and images of all domains in the first optimizer step."""
    with PackedFile(tiny) as packed:
        cut = SHORT.size, SHORT.resize
        pools = {name: load_pool(packed, packed.benchmark[name], ("train",), *cut) for name in model.networks}
    trainer = Trainer(model, pools, SHORT, 0, bf16=False)
    trainer.advance()
    sums: list[list[float]] = trainer.metrics.sums.tolist()
    return sums


def continued(run: Run, method: str, **options: Any) -> tuple[MultiDomainModel, list[str]]:
    """Return the model of a method over a run, as training begins."""
    source = find_trunk(str(run.folder), 1)
    kind = find_method(method)
    made = kind(source.trunk, options=kind.choose(options), regime=run.read().regime)
    names = list(run.read().names)
    starts = made.prepare(source.learned, names)
    model = MultiDomainModel(made, 1, CPU, source.norms_for(made, names), starts)
    for domain in run.read().domains:
        model.add(domain.name, len(domain.categories))
    return model, names


@pytest.mark.parametrize("method", quickly(METHODS.names(), "bn", "mtan"))
def test_the_first_loss_is_that_of_the_finished_run(tiny: Path, runs: Any, method: str) -> None:
    run = runs(method)
    finished = load(run, run.read(), CPU).model
    begun, names = continued(run, method)
    before, after = ({name: model.learned(name) for name in names} for model in (finished, begun))
    for name in names:
        assert before[name].keys() == after[name].keys()
        assert all(torch.equal(tensor, after[name][key]) for key, tensor in before[name].items())
    assert first_losses(begun, tiny) == first_losses(finished, tiny)


@pytest.mark.parametrize("method", ["mtan", "dense"])
def test_a_frozen_trunk_continues_too(tiny: Path, runs: Any, method: str) -> None:
    """The norms of the trunk stop: logits are equal in evaluation mode."""
    run = runs(method)
    finished = load(run, run.read(), CPU).model
    source = find_trunk(str(run.folder), 1)
    made = find_method(method)(source.trunk, "frozen")
    names = list(run.read().names)
    begun = MultiDomainModel(made, 1, CPU, source.norms_for(made, names), made.prepare(source.learned, names))
    images = torch.randn(4, 3, 16, 16)
    for domain in run.read().domains:
        found = begun.add(domain.name, len(domain.categories)).eval()(images)
        torch.testing.assert_close(found, finished.networks[domain.name].eval()(images))


def test_nine_of_ten_domains_continue_and_a_new_one_starts_anew(
    tiny: Path, tmp_path: Path, runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    two = go(tiny, tmp_path / "two", "mtan", trunk="wrn-10-1", recipe=SHORT, domains=("apples", "boats"))
    go(tiny, tmp_path / "next", "mtan", trunk=str(two.folder), recipe=SHORT, domains=("boats", "towers"))
    said = " ".join(capsys.readouterr().err.split())
    assert f"continuing with what {two.folder} learned in 1 domain, heads included." in said
    assert "Note: towers starts anew." in said
    go(tiny, tmp_path / "last", "mtan", trunk=str(two.folder), recipe=SHORT, domains=("towers",))
    assert "has none of these domains; they start anew over its trunk" in " ".join(capsys.readouterr().err.split())


def test_other_options_start_anew_and_say_so(
    tiny: Path, tmp_path: Path, runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trunk = runs("dan")
    go(tiny, tmp_path / "run", "dan", trunk=str(trunk.folder), recipe=SHORT, options={"diagonal": True})
    said = " ".join(capsys.readouterr().err.split())
    assert "was trained as dan; with other options dan takes its trunk alone and starts anew." in said
    assert "leaves out" not in said


def test_networks_with_trunks_of_their_own_are_no_trunk_for_others(tiny: Path, tmp_path: Path, runs: Any) -> None:
    one = go(tiny, tmp_path / "one", "stan", trunk="wrn-10-1", recipe=SHORT, domains=("apples",))
    with pytest.raises(UsageError, match="has no shared trunk"):
        go(tiny, tmp_path / "run", "finetune", trunk=str(one.folder), recipe=SHORT)
    with pytest.raises(UsageError, match="has not learned boats"):
        go(tiny, tmp_path / "run", "stan", trunk=str(one.folder), recipe=SHORT, domains=("apples", "boats"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["bn", slow("parallel")])
def test_how_norms_move_in_a_published_start_stays_in_its_run(
    tiny: Path, tmp_path: Path, runs: Any, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    over = {"trunk": str(runs("mtan", ("init", "published")).folder), "recipe": SHORT}
    whole = go(tiny, tmp_path / "whole", method, **over)
    with dying_at(monkeypatch, 2):
        go(tiny, tmp_path / "killed", method, **over)
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(whole)


def test_one_set_of_norms_in_place_of_many_is_said(
    tiny: Path, tmp_path: Path, runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    go(tiny, tmp_path / "run", "mtan", trunk=str(runs("mtan").folder), recipe=SHORT, options={"norms": "trunk"})
    assert "norms=trunk puts one set of norms, their mean, in place" in " ".join(capsys.readouterr().err.split())


def test_a_larger_trunk_is_continued_as_it_is(tiny: Path, tmp_path: Path, runs: Any) -> None:
    wide = {"recipe": SHORT, "options": {"preset": "wide"}}
    one = go(tiny, tmp_path / "one", "split", trunk="wrn-10-1", **wide)
    two = go(tiny, tmp_path / "two", "split", trunk=str(one.folder), **wide)
    assert two.read().trunk.name == one.read().trunk.name == "wrn-10-2"


def test_the_rule_is_shown_for_every_method() -> None:
    for method in METHODS.names():
        assert f"Over a run of {method}" in explain(method)
    assert "with the same diagonal and own_norms" in explain("dan")
