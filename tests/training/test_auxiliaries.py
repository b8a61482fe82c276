"""One battery over every auxiliary objective, and what each computes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from decathlon.errors import UsageError
from decathlon.experiments.resume import resume
from decathlon.models.multi_domain_model import trunk_in
from decathlon.system.progress import TrainingProgress
from decathlon.training.auxiliaries import adversarial
from decathlon.training.auxiliary import AUXILIARIES
from decathlon.training.objective import MicroBatch
from decathlon.training.trainer import Trainer
from tests.helpers.marks import slow
from tests.helpers.runs import RECIPE, digests, dying_at, go, make_trainer

NAMES = list(AUXILIARIES.names())
every = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def teacher(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go(
        tiny, tmp_path_factory.mktemp("teacher") / "run", "finetune", recipe=RECIPE.override({"epochs": 1})
    ).folder


def recipe(name: str, teacher: Path, **changes: Any) -> Any:
    return RECIPE.override({"auxiliaries": name, "teacher": str(teacher) if "hint" in name else ""} | changes)


def batch(trainer: Trainer, domain: str, **changes: Any) -> MicroBatch:
    network = trainer.model.networks[domain].train()
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    trunk = trunk_in(network)
    assert trunk is not None
    given: dict[str, Any] = {"images": images, "taps": trunk.taps(images), "number": 3, "progress": 0.5} | changes
    return MicroBatch(domain, network, torch.arange(4), network(images), torch.tensor([0, 1, 0, 1]), **given)


@every
def test_it_adds_to_the_gradient_of_the_trunk_and_trains_its_own_modules(
    tiny: Path, teacher: Path, name: str
) -> None:
    trainers = [make_trainer(tiny, recipe=recipe(text, teacher, lr=0.01)) for text in ("", name)]
    before = {key: tensor.clone() for key, tensor in trainers[1].state()[0].items()}
    for _ in range(2):  # the reversed gradient of the first step is 0
        for trainer in trainers:
            trainer.advance()
    plain, added = (trainer.state()[0] for trainer in trainers)
    assert any(not torch.equal(plain[key], added[key]) for key in plain if key.startswith("trunk."))
    own = [key for key in added if key.startswith("auxiliary.")]
    assert own and any(not torch.equal(before[key], added[key]) for key in own)
    assert not any(key.startswith("auxiliary.") for key in plain)


@every
def test_what_it_does_is_a_function_of_the_seed(tiny: Path, teacher: Path, name: str) -> None:
    found = []
    for _ in range(2):
        trainer = make_trainer(tiny, recipe=recipe(name, teacher))
        trainer.advance()
        found.append({key: tensor.clone() for key, tensor in trainer.state()[0].items()})
        torch.rand(3)
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


@pytest.mark.parametrize("name", ["rotation=0.5,adversarial,reconstruct", *map(slow, NAMES)])
def test_a_killed_run_ends_with_the_same_bits_and_stores_nothing_of_it(
    tiny: Path, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked = recipe(name, teacher)
    whole = go(tiny, tmp_path / "whole", recipe=asked)
    with dying_at(monkeypatch, 13):
        go(tiny, tmp_path / "run", recipe=asked)
    assert digests(resume(tmp_path / "run", None, TrainingProgress())) == digests(whole)
    plain = go(tiny, tmp_path / "plain", recipe=RECIPE)
    sizes = [
        {file.name: file.stat().st_size for file in run.folder.glob("*.safetensors")} for run in (whole, plain)
    ]
    assert sizes[0].keys() == sizes[1].keys()
    assert (whole.folder / "footprint.json").read_bytes() == (plain.folder / "footprint.json").read_bytes()


@every
def test_a_file_explains_itself(name: str) -> None:
    text = AUXILIARIES.load(name).__doc__ or ""
    assert text.startswith(f"{name}: ") and "https://" in text


def test_turned_images_have_the_labels_of_their_turns(tiny: Path, teacher: Path) -> None:
    trainer = make_trainer(tiny, recipe=recipe("rotation", teacher))
    module: Any = trainer.auxiliaries.modules["rotation"]
    seen: list[Tensor] = []
    given = batch(trainer, trainer.domains[0])
    trunk = trunk_in(given.network)
    assert trunk is not None
    compute = trunk.taps
    trunk.taps = lambda images: (seen.append(images), compute(images))[1]  # type: ignore[method-assign, func-returns-value]
    module.loss(given)
    del trunk.taps
    turns = [
        next(k for k in range(4) if torch.equal(torch.rot90(a, k, (1, 2)), b))
        for a, b in zip(given.images, seen[0], strict=True)
    ]
    assert len(set(turns)) > 1
    with torch.no_grad():
        module.head.weight.zero_()
        module.head.bias.copy_(torch.tensor([9.0 if k == turns[0] else 0.0 for k in range(4)]))
    share = turns.count(turns[0]) / len(turns)
    log = math.log(math.exp(9) + 3)
    assert module.loss(given).item() == pytest.approx(log - 9 * share, rel=1e-4)
    textures = MicroBatch("dtd", given.network, given.index, given.logits, given.labels, given.images, given.taps)
    assert module.loss(textures) is None


@pytest.mark.parametrize(("progress", "factor"), [(0.0, 0.0), (0.1, 0.46212), (1.0, 0.99991)])
def test_the_gradient_of_the_domain_classifier_is_reversed(progress: float, factor: float) -> None:
    assert adversarial.strength(progress) == pytest.approx(factor, abs=1e-5)
    features = torch.ones(2, 3, requires_grad=True)
    out = adversarial.Reversal.apply(features, adversarial.strength(progress))
    assert torch.equal(out, features)
    (out * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert features.grad is not None
    torch.testing.assert_close(features.grad[0], -factor * torch.tensor([1.0, 2.0, 3.0]), rtol=1e-4, atol=1e-5)


def test_a_single_domain_has_no_adversary(tiny: Path, teacher: Path) -> None:
    trainer = make_trainer(tiny, recipe=recipe("adversarial", teacher))
    module: Any = trainer.auxiliaries.modules["adversarial"]
    module.domains = module.domains[:1]
    assert module.loss(batch(trainer, trainer.domains[0])) is None


def test_a_hint_of_the_network_itself_is_met_by_the_identity(tiny: Path, teacher: Path) -> None:
    trainer = make_trainer(tiny, recipe=recipe("hint", teacher))
    module: Any = trainer.auxiliaries.modules["hint"]
    name = trainer.domains[0]
    own = module._teachers[name]
    regress = module.regress[name]
    with torch.no_grad():
        nn.init.dirac_(regress.weight)
        nn.init.zeros_(regress.bias)
    given = batch(trainer, name)
    taps = own.eval().taps(given.images)
    same = MicroBatch(name, given.network, given.index, given.logits, given.labels, given.images, taps)
    assert module.loss(same).item() == pytest.approx(0, abs=1e-10)
    assert module.loss(given).item() > 0 and not any(p.requires_grad for p in own.parameters())
    module._teachers.pop(name)
    assert module.loss(given) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rotate", "unknown auxiliary objective 'rotate'"), ("rotation=x", "has the weight 'x'"),
        ("rotation,rotation=2", "is named twice"), ("hint", "needs a teacher. Name a finished run with --teacher"),
    ],
)  # fmt: skip
def test_mistakes_are_named_before_training(tiny: Path, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        go(tiny, tmp_path / "run", recipe=RECIPE.override({"auxiliaries": text}))


def test_they_need_the_taps_of_one_domain(tiny: Path, tmp_path: Path) -> None:
    asked = RECIPE.override({"auxiliaries": "rotation", "together": True})
    with pytest.raises(UsageError, match="read the taps of one domain's images"):
        go(tiny, tmp_path / "run", "split", options={"norms": "trunk"}, recipe=asked)
