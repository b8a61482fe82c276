"""Each weighting against the published code's numbers, a closed form, or autograd."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from decathlon.config.recipe import Recipe
from decathlon.data.domains import Category, Domain
from decathlon.training.weighting import WEIGHTINGS, Setting, Step, Weighting
from decathlon.training.weightings import dwa, geometric, gradnorm, random, score, uncertainty
from tests.conftest import outside
from tests.helpers.aggregators import need


def golden() -> dict[str, Tensor]:
    found = load_file(outside("DECATHLON_GOLDEN", "golden") / "weightings.safetensors")
    return {name: tensor.double() for name, tensor in found.items()}


def setting(
    classes: Sequence[int] = (4, 4, 4), shared: Sequence[nn.Parameter] = (), weighting: str = "equal",
    errors: Sequence[float | None] = (None, None, None),
) -> Setting:  # fmt: skip
    domains = tuple(
        Domain(
            f"d{n}",
            n,
            tuple(Category(k, str(k)) for k in range(count)),
            (0.5,) * 3,
            (0.2,) * 3,
            baseline_error=error,
        )  # fmt: skip
        for n, (count, error) in enumerate(zip(classes, errors, strict=True))
    )
    return Setting(domains, tuple(shared), Recipe(weighting=weighting, together=True), 0, torch.device("cpu"))


def test_dwa_is_that_of_the_published_code_on_the_means_of_epochs() -> None:
    numbers, weighting = golden(), dwa.Dwa(setting())
    for epoch, (losses, weights) in enumerate(zip(numbers["losses"], numbers["dwa/weights"], strict=True)):
        for number in range(2):
            weighting.begin(Step(2 * epoch + number, epoch, weighting.domains))
            for place, (domain, loss) in enumerate(zip(weighting.domains, losses, strict=True)):
                part = loss * (0.5 if number else 1.5)  # the mean of an epoch's micro-batches counts, unweighted
                assert weighting.weigh(domain, part) == pytest.approx(float(part * weights[place]), rel=1e-6)


def test_uncertainty_has_the_published_loss_and_gradients() -> None:
    numbers = golden()
    for row, losses in enumerate(numbers["losses"]):
        weighting = uncertainty.Uncertainty(setting())
        for place, variance in enumerate(weighting.variances.values()):
            variance.data = numbers["uncertainty/log_variance"][row, place].clone()
        leaves = losses.clone().requires_grad_()
        pairs = zip(weighting.domains, leaves, strict=True)
        total = torch.stack([weighting.weigh(domain, loss) for domain, loss in pairs]).sum()
        wanted = numbers["uncertainty/total"][row]
        assert total.item() == pytest.approx(float(wanted), rel=1e-6)
        total.backward()  # type: ignore[no-untyped-call]
        assert leaves.grad is not None
        torch.testing.assert_close(leaves.grad, numbers["uncertainty/grad_losses"][row], rtol=1e-6, atol=1e-7)
        gradients = torch.stack([v.grad for v in weighting.variances.values() if v.grad is not None])
        torch.testing.assert_close(gradients, numbers["uncertainty/grad_log_variance"][row], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("loss", "weight"), [(0.4, 1.25), (2.0, 0.25), (1e-4, math.exp(2) / 2)])
def test_an_uncertainty_rests_where_the_weight_is_half_of_one_over_the_loss_or_at_its_limit(
    loss: float, weight: float
) -> None:
    weighting = uncertainty.Uncertainty(setting())
    for number in range(2000):
        weighting.begin(Step(number, 0, weighting.domains[:1]))
        weighting.weigh("d0", torch.tensor(loss, requires_grad=True)).backward()  # type: ignore[no-untyped-call]
        weighting.finish()
    assert float(weighting.weights()[0]) == pytest.approx(weight, rel=0.02)
    assert float(weighting.weights()[1]) == pytest.approx(math.exp(0.5) / 2)  # an inactive domain does not move


def test_geometric_has_the_published_gradient_up_to_the_number_of_domains() -> None:
    numbers = golden()
    for losses, wanted in zip(numbers["losses"], numbers["geometric/grad_losses"], strict=True):
        weighting = geometric.Geometric(setting())
        for domain, loss in zip(weighting.domains, losses, strict=True):
            weighting.weigh(domain, loss)
        torch.testing.assert_close(weighting.weights() / 3, wanted, rtol=1e-6, atol=1e-7)


def test_gradnorm_moves_the_weights_as_the_published_code_does() -> None:
    numbers = {name.removeprefix("gradnorm/"): t for name, t in golden().items() if name.startswith("gradnorm/")}
    weights, norms = numbers["plain/weights"], numbers["grad_norms"]
    progress = numbers["losses"] / numbers["initial_losses"]
    torch.testing.assert_close(
        gradnorm.derivative(weights, norms, progress), numbers["plain/grad_weights"], rtol=1e-6, atol=1e-6
    )
    weighting = gradnorm.Gradnorm(setting(shared=[nn.Parameter(torch.zeros(1, 1, 1, 1))]))
    weighting.now, weighting.norms = weights.clone(), norms.clone()
    weighting.losses, weighting.initial = numbers["losses"].clone(), numbers["initial_losses"]
    weighting.begin(Step(0, 0, weighting.domains))
    weighting.finish()
    torch.testing.assert_close(weighting.weights(), numbers["plain/weights_after"], rtol=1e-6, atol=1e-6)


def test_gradnorm_is_the_derivative_of_its_objective_and_measures_gradients_without_their_weight() -> None:
    torch.manual_seed(0)
    last = nn.Parameter(torch.randn(2, 3, 1, 1))
    weighting = gradnorm.Gradnorm(setting((4, 9, 2), [nn.Parameter(torch.zeros(5)), last]))
    weighting.now.copy_(torch.tensor([0.5, 1.5, 1.0]))
    before = weighting.now.clone()
    inputs = torch.randn(3, 2, 3, 1, 1)
    weighting.begin(Step(0, 0, weighting.domains))
    norms, losses = [], []
    for domain, direction in zip(weighting.domains, inputs, strict=True):
        loss = (last * direction).sum().exp()
        weighting.weigh(domain, loss).backward()  # type: ignore[no-untyped-call]
        weighting.collect(domain)
        norms.append((loss * direction.norm()).item())
        losses.append(loss.item())
    torch.testing.assert_close(weighting.norms, torch.tensor(norms), rtol=1e-4, atol=1e-5)
    progress = torch.tensor(losses) / torch.tensor([4.0, 9.0, 2.0]).log()
    weights = before.clone().requires_grad_()
    lengths = weights * torch.tensor(norms)
    target = (lengths.mean() * (progress / progress.mean()) ** 1.5).detach()
    (lengths - target).abs().sum().backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    moved = (before - 0.025 * weights.grad).clamp(min=1e-3)
    weighting.finish()
    torch.testing.assert_close(weighting.weights(), 3 * moved / moved.sum(), rtol=1e-4, atol=1e-5)


def test_gradnorm_waits_until_it_has_seen_every_domain() -> None:
    last = nn.Parameter(torch.ones(1, 1, 1, 1))
    weighting = gradnorm.Gradnorm(setting(shared=[last]))
    for number, domain in enumerate(weighting.domains):
        last.grad = None
        weighting.begin(Step(number, 0, (domain,)))
        weighting.weigh(domain, (last * (number + 1)).sum()).backward()  # type: ignore[no-untyped-call]
        weighting.collect(domain)
        weighting.finish()
        assert bool((weighting.weights() == 1).all()) == (number < 2)


def test_random_weights_are_those_of_the_seed_and_the_step_and_add_up_to_the_domains() -> None:
    weighting, other = random.Random(setting()), random.Random(setting())
    drawn = []
    for step in (0, 1, 0):
        weighting.begin(Step(step, 0, ("d0",)))
        drawn.append(weighting.now.clone())
        assert float(weighting.now.sum()) == pytest.approx(3)
    other.begin(Step(1, 5, ("d1",)))
    assert torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[1])
    assert torch.equal(other.now, drawn[1])


def test_score_weights_are_the_slopes_of_the_decathlon_score() -> None:
    weighting = score.Score(setting(errors=(0.2, 0.1, None)))
    assert weighting.weights().tolist() == [1, 1, 1]
    weighting.validated({"d0": 0.3, "d1": 0.05})
    assert weighting.weights()[2] == pytest.approx(1)  # not validated yet
    weighting.validated({"d2": 0.5})
    errors = torch.tensor([0.3, 0.05, 0.5], dtype=torch.float64, requires_grad=True)
    most = torch.tensor([0.4, 0.2, 0.75], dtype=torch.float64)  # without a baseline error: that of a guess
    (1000 * ((most - errors) / most) ** 2).sum().backward()  # type: ignore[no-untyped-call]
    assert errors.grad is not None
    wanted = -errors.grad
    torch.testing.assert_close(weighting.weights(), wanted / wanted.mean())
    weighting.validated({"d0": 0.9})  # no points, but not without a weight
    assert 0.05 < float(weighting.weights()[0]) < 0.2 and float(weighting.weights().mean()) == pytest.approx(1)


RESULTS = {
    "upgrad": ("upgrad/default", 1e-5), "mgda": ("mgda/torchjd_default", 1e-4), "cagrad": ("cagrad/torchjd", 1e-3),
    "nash-mtl": ("nash/clipped", 1e-4),
}  # fmt: skip


def aggregated(name: str, rows: Tensor) -> Tensor:
    """Return what a weighting leaves as the gradient of a shared parameter that each domain gives one row."""
    shared = nn.Parameter(torch.zeros(rows.shape[1], dtype=rows.dtype))
    weighting: Weighting = WEIGHTINGS.find(name)(setting(shared=[shared], weighting=name))
    weighting.begin(Step(0, 0, weighting.domains))
    for domain, row in zip(weighting.domains, rows, strict=True):
        shared.grad = row.clone() if shared.grad is None else shared.grad + row
        weighting.collect(domain)
    weighting.finish()
    assert shared.grad is not None
    return shared.grad


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("case", [0, 1])
def test_an_aggregator_has_the_result_of_torchjd(name: str, case: int) -> None:
    need(name)
    numbers, (key, off) = golden(), RESULTS[name]
    wanted = numbers[f"aggregate/{case}/{key}"]
    scale = 3 if WEIGHTINGS.find(name).mean else 1  # type: ignore[attr-defined]
    found = aggregated(name, numbers[f"aggregate/{case}/gradients"].float()) / scale
    assert float((found - wanted).abs().max() / wanted.abs().max()) < off


def test_pcgrad_of_gradients_that_do_not_conflict_is_their_sum_and_of_two_that_do_the_closed_form() -> None:
    need("pcgrad")
    rows = golden()["aggregate/1/gradients"].float()
    torch.testing.assert_close(aggregated("pcgrad", rows), rows.sum(0), rtol=1e-5, atol=1e-5)
    one, two = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
    off = one - (one @ two) / (two @ two) * two, two - (one @ two) / (one @ one) * one
    rows = torch.stack((one, two, torch.zeros(2)))
    torch.testing.assert_close(aggregated("pcgrad", rows), off[0] + off[1])


@pytest.mark.parametrize("name", ["pcgrad", "mgda", "upgrad", "cagrad", "aligned-mtl", "imtl-g"])
def test_equal_gradients_make_their_plain_sum(name: str) -> None:
    need(name)
    rows = torch.randn(1, 20, generator=torch.Generator().manual_seed(0)).expand(3, -1).contiguous()
    found, wanted = aggregated(name, rows), rows.sum(0)
    scale = 1.4 if name == "cagrad" else 1.0  # 1 + c where all agree: it does not rescale
    torch.testing.assert_close(found, scale * wanted, rtol=2e-2, atol=2e-2)
