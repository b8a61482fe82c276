"""One battery over every weighting in its folder, and what a stateful one may count on; a new file is picked up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from decathlon.errors import UsageError
from decathlon.experiments.resume import resume
from decathlon.models.method import Regime
from decathlon.system.progress import TrainingProgress
from decathlon.system.tensor_files import read_tensors
from decathlon.training import weightings
from decathlon.training.weighting import WEIGHTINGS, Setting, Step
from tests.helpers.aggregators import need
from tests.helpers.marks import slow
from tests.helpers.runs import RECIPE, digests, dying_at, go, make_trainer

every = pytest.mark.parametrize("name", WEIGHTINGS.names())
STATEFUL = '''
"""counting: the loss of a domain over how often it was seen."""

import torch
from decathlon.training.weighting import Weighting

CALLS = []

class Counting(Weighting):
    def __init__(self, setting):
        super().__init__(setting)
        self.seen = torch.zeros(len(self.domains))

    def begin(self, step):
        CALLS.append(("begin", step.domains))

    def weigh(self, domain, loss):
        CALLS.append(("weigh", domain))
        self.seen[self.domains.index(domain)] += 1
        return loss / self.seen[self.domains.index(domain)]

    def collect(self, domain):
        CALLS.append(("collect", domain, self.shared[0].grad is not None))

    def finish(self):
        CALLS.append(("finish",))

    def state(self):
        return {"seen": self.seen}
'''


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A weighting with a state in one new file of the folder."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "counting.py").write_text(STATEFUL)
    monkeypatch.setattr(weightings, "__path__", [*weightings.__path__, str(folder)])
    yield "counting"


@every
def test_a_step_moves_every_domain_of_it_and_repeats_to_the_bit(name: str, tiny: Path) -> None:
    need(name)
    recipe = RECIPE.override({"weighting": name, "together": True})
    states = []
    for _ in range(2):
        trainer = make_trainer(tiny, recipe=recipe)
        before = {key: tensor.clone() for key, tensor in trainer.state()[0].items()}
        trainer.advance()
        states.append({key: tensor.clone() for key, tensor in trainer.state()[0].items()})
        for domain in trainer.domains:
            head = f"domain.{domain}.head.weight"
            assert not torch.equal(before[head], states[-1][head])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@every
def test_a_state_comes_back(name: str, tiny: Path) -> None:
    need(name)
    recipe = RECIPE.override({"weighting": name, "together": True})
    one, two = make_trainer(tiny, recipe=recipe), make_trainer(tiny, recipe=recipe)
    for _ in range(3):
        one.advance()
    tensors, values = one.state()
    two.load_state({key: tensor.clone() for key, tensor in tensors.items()}, values)
    restored = two.weighting.state()
    assert all(torch.equal(tensor, restored[key]) for key, tensor in one.weighting.state().items())


@pytest.mark.parametrize("name", [*map(slow, WEIGHTINGS.names())])
def test_a_killed_run_ends_with_the_same_bits(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    need(name)
    recipe = RECIPE.override({"weighting": name, "together": WEIGHTINGS.find(name).needs_all})
    whole = digests(go(tiny, tmp_path / "whole", recipe=recipe))
    steps = 3 if recipe.together else 9
    with dying_at(monkeypatch, steps + steps // 2):
        go(tiny, tmp_path / "run", recipe=recipe)
    assert digests(resume(tmp_path / "run", None, TrainingProgress())) == whole


@pytest.mark.parametrize(
    ("name", "method", "change", "message"),
    [
        ("pcgrad", "bn", {}, "needs the gradients of all domains in every step. Add --together"),
        ("pcgrad", "parallel", {"together": True}, "here they share nothing that learns"),
        ("gradnorm", "parallel", {}, "here they share nothing that learns"),
    ],
)
def test_what_a_weighting_needs_is_asked_for_before_training(
    tiny: Path, tmp_path: Path, name: str, method: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        go(tiny, tmp_path / "run", method, recipe=RECIPE.override({"weighting": name} | change))
    assert not (tmp_path / "run").exists()


@every
def test_a_file_explains_itself(name: str) -> None:
    text = WEIGHTINGS.load(name).__doc__ or ""
    assert text.startswith(f"{name}: ") and "https://" in text


def test_equal_changes_nothing() -> None:
    weighting, loss = WEIGHTINGS.find("equal")(Setting((), (), RECIPE, 0, torch.device("cpu"))), torch.tensor(2.0)
    weighting.begin(Step(0, 0, ("a", "b")))
    assert weighting.weigh("a", loss) is loss and not weighting.state()


@pytest.mark.parametrize(("regime", "shared"), [("joint", True), ("frozen", False)])
def test_what_domains_share_is_what_a_weighting_gets(tiny: Path, regime: Regime, shared: bool) -> None:
    trainer = make_trainer(tiny, "mtan", regime=regime)
    own = {id(p) for p in trainer.model.shared.parameters()}
    trunk = {id(p) for p in trainer.model.trunk.parameters() if p.requires_grad}
    assert {id(p) for p in trainer.weighting.shared} == own | trunk and bool(trunk) == shared


def test_it_acts_before_between_and_after_the_backward_passes(tiny: Path, counting: str) -> None:
    trainer = make_trainer(tiny, recipe=RECIPE.override({"weighting": counting, "together": True}))
    calls = WEIGHTINGS.load(counting).CALLS
    calls.clear()
    trainer.advance()
    passes = [[("weigh", name), ("collect", name, True)] for name in trainer.domains]
    assert calls == [("begin", trainer.domains), *(call for both in passes for call in both), ("finish",)]


def test_the_state_of_a_weighting_survives_a_death_between_two_steps(
    tiny: Path, tmp_path: Path, counting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPE.override({"weighting": counting})
    whole = digests(go(tiny, tmp_path / "whole", recipe=recipe))
    with dying_at(monkeypatch, 10):
        go(tiny, tmp_path / "run", recipe=recipe)
    assert "weighting.seen" in read_tensors(tmp_path / "run" / "checkpoint.safetensors")[0]
    assert digests(resume(tmp_path / "run", None, TrainingProgress())) == whole
    assert whole != digests(go(tiny, tmp_path / "equal", recipe=RECIPE))


def test_a_broken_file_is_named(tmp_path: Path, counting: str) -> None:
    (tmp_path / "more" / "broken.py").write_text("import nothing_of_this_name")
    with pytest.raises(UsageError, match="weighting 'broken' cannot be imported .*nothing_of_this_name"):
        WEIGHTINGS.find("broken")
