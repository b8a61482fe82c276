"""Sharing schemes against dense references: mixtures, penalties, proximal steps, priors."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from decathlon.adapters import block_sparse, relationship, soft, tensor_factor
from decathlon.adapters.cross_stitch import Columns, Mixture
from decathlon.adapters.trace_norm import trace_norm
from decathlon.models.method import Learned
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.registry import find_method
from decathlon.models.surgery import named_norms
from decathlon.models.trunks.registry import build
from tests.conftest import outside

CPU = torch.device("cpu")
DOMAINS = ("boats", "cars", "birds")


def model(method: str, starts: bool = True, **options: object) -> MultiDomainModel:
    torch.manual_seed(0)
    kind = find_method(method)
    made = kind(build("wrn-10-1"), None, kind.choose(options))
    begin = made.prepare(None, DOMAINS) if starts else {}
    found = MultiDomainModel(made, 0, CPU, starts=begin)
    for domain in DOMAINS:
        found.add(domain, 3)
    return found


def random_(found: MultiDomainModel) -> MultiDomainModel:
    """Give every parameter of every network other values."""
    with torch.no_grad():
        for parameter in (p for net in found.networks.values() for p in net.body.parameters() if p.requires_grad):
            parameter.add_(0.1 * torch.randn_like(parameter))
    return found


def gradients(found: MultiDomainModel, active: tuple[str, ...]) -> Tensor:
    """Return the value of the penalty, after its backward pass."""
    penalty = found.method.penalty(found.networks, active)
    assert penalty is not None
    penalty.backward()  # type: ignore[no-untyped-call]
    return penalty.detach()


def test_mixed_weights_give_what_stitched_activations_do_for_one_image() -> None:
    """The first unit of the published network by mixed weights; above it columns read different maps."""
    found = load_file(outside("DECATHLON_GOLDEN", "golden") / "cross_stitch.safetensors")
    numbers = {name: tensor.double() for name, tensor in found.items()}

    def stage(number: int, column: int) -> Tensor:
        return numbers[f"scalar/stage{number}/{column}"][:, :, None, None]

    unit, tasks = numbers["scalar/unit"], range(3)
    mixtures = [Mixture(Columns([stage(1, 1), stage(1, 2)]), unit[0, task]) for task in tasks]
    maps = [nn.functional.conv2d(numbers["input/0"], mixture(stage(1, 0))) for mixture in mixtures]
    for number in (2, 3):
        each = torch.stack([nn.functional.conv2d(maps[task], stage(number, task)) for task in tasks])
        maps = [torch.tensordot(unit[number - 1, task], each, 1) for task in tasks]
    for task in tasks:
        last = nn.functional.conv2d(maps[task], stage(4, task))
        torch.testing.assert_close(last, numbers[f"scalar/output/{task}"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("columns", [2, 3])
def test_domains_begin_with_most_of_a_column_each(columns: int) -> None:
    found = model("cross-stitch", columns=columns)
    for number, domain in enumerate(DOMAINS):
        part = next(part for part in found.networks[domain].modules() if isinstance(part, Mixture))
        wanted = torch.full((columns,), 0.1 / (columns - 1))
        wanted[number % columns] = 0.9
        torch.testing.assert_close(part.coefficients.detach(), wanted)


@pytest.mark.parametrize(("form", "columns", "rank"), [("laf", 4, 0.5), ("tucker", 4, 1.0)])
def test_bases_start_at_separate_networks_where_the_rank_allows(form: str, columns: int, rank: float) -> None:
    separate = random_(model("finetune"))
    norms = {path for path, _ in named_norms(separate.networks["boats"].body)}
    for net in separate.networks.values():
        for name, parameter in net.body.named_parameters():
            if name.endswith(".bias") and name.removesuffix(".bias") not in norms:
                nn.init.zeros_(parameter)  # biases of convolutions are one for all domains
    learned = Learned("finetune", {domain: separate.learned(domain) for domain in DOMAINS})
    kind = find_method("tensor-factor")
    made = kind(build("wrn-10-1"), None, kind.choose({"columns": columns, "form": form, "rank": rank}))
    found = MultiDomainModel(made, 0, CPU, starts=made.prepare(learned, DOMAINS))
    images = torch.randn(2, 3, 32, 32)
    for domain in DOMAINS:
        found.add(domain, 3)
        wanted = separate.networks[domain].eval()(images)
        torch.testing.assert_close(found.networks[domain].eval()(images), wanted, rtol=1e-3, atol=1e-3)


def test_fewer_bases_are_the_nearest_ones() -> None:
    rows = torch.randn(5, 4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    columns = Columns(torch.zeros(4, 3, 3, 3) for _ in range(2))
    coefficients = tensor_factor.start(columns, rows)
    made = torch.stack([columns.mix(row) for row in coefficients]).detach()
    values = torch.linalg.svdvals(rows.flatten(1))
    assert float((made - rows).norm()) == pytest.approx(float(values[2:].norm()), rel=1e-4)


@pytest.mark.parametrize("active", [(0, 1, 2, 3), (1, 3)])
def test_the_trace_norm_by_the_gram_matrix_is_that_of_a_decomposition(active: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    rows = [torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    norm = trace_norm(rows, active)
    norm.backward()  # type: ignore[no-untyped-call]
    matrix = torch.stack([row.detach().flatten() for row in rows]).requires_grad_()
    wanted = torch.linalg.svdvals(matrix).sum()
    wanted.backward()
    assert norm.item() == pytest.approx(wanted.item(), rel=1e-5) and matrix.grad is not None
    for place, row in enumerate(rows):
        if place not in active:
            assert row.grad is None
            continue
        assert row.grad is not None
        torch.testing.assert_close(row.grad.flatten(), matrix.grad[place], rtol=1e-3, atol=1e-4)


def test_equal_rows_have_a_trace_norm_with_a_finite_gradient() -> None:
    rows = [torch.ones(4, requires_grad=True) for _ in range(3)]
    norm = trace_norm(rows, (0, 1, 2))
    norm.backward()  # type: ignore[no-untyped-call]
    assert norm.item() == pytest.approx((3 * 4) ** 0.5, rel=1e-2)
    assert all(row.grad is not None and bool(row.grad.isfinite().all()) for row in rows)


@pytest.mark.parametrize("centre", ["mean", "learned", "trunk"])
def test_soft_sharing_pulls_the_active_domains_to_their_centre(centre: str) -> None:
    found = random_(model("soft", centre=centre, strength=0.5))
    value = gradients(found, ("boats", "birds"))
    path = "stage1.0.conv1"
    weights = [net.get_parameter(f"body.{path}.weight").detach() for net in found.networks.values()]
    middle = torch.stack(weights).mean(0) if centre == "mean" else found.trunk.get_parameter(f"{path}.weight")
    for name, weight in zip(DOMAINS, weights, strict=True):
        grad = found.networks[name].get_parameter(f"body.{path}.weight").grad
        if name == "cars":
            assert grad is None
            continue
        assert grad is not None
        torch.testing.assert_close(grad, (weight - middle).detach())  # 0.5 times twice the difference
    total = 0.0
    for _, every in soft.private_weights(found.networks):
        own = torch.stack([weight.detach() for weight in every.values()])
        total += 0.0 if centre != "mean" else float((own[[0, 2]] - own.mean(0)).square().sum())
    assert centre != "mean" or value.item() == pytest.approx(0.5 * total, rel=1e-4)


def test_a_proximal_step_solves_its_problem_filter_by_filter() -> None:
    torch.manual_seed(0)
    before, by = torch.randn(6, 2, 3, 3), 4.0
    after = before.clone()
    block_sparse.shrink(after, by)
    lengths = before.flatten(1).norm(dim=1)
    assert 0 < int((lengths <= by).sum()) < 6
    for row, was, length in zip(after, before, lengths, strict=True):
        wanted = torch.zeros_like(was) if length <= by else was * (1 - by / length)
        torch.testing.assert_close(row, wanted)

        def cost(x: Tensor, was: Tensor = was) -> float:
            return float(0.5 * (x - was).square().sum() + by * x.norm())

        assert all(cost(row) <= cost(row + 1e-2 * torch.randn_like(row)) + 1e-5 for _ in range(50))


def test_only_surviving_filters_are_billed_and_stored() -> None:
    found = random_(model("block-sparse"))
    whole = next(p for p in found.networks["boats"].modules() if isinstance(p, block_sparse.Difference))
    name = next(name for name in found.delta("boats") if name.endswith(block_sparse.SPARSE))
    filters, size = len(whole.difference), whole.difference[0].numel()
    assert found.method.bits(name, whole.difference) == 32 * filters * size + 8 * -(-filters // 8)
    with torch.no_grad():
        whole.difference[2:] = 0
    assert found.method.bits(name, whole.difference) == 32 * 2 * size + 8 * -(-filters // 8)
    stored = found.stored("boats")
    assert stored[name].numel() == 4 * 2 * size + -(-filters // 8)
    other = model("block-sparse")
    other.load("boats", stored, "a file")
    assert torch.equal(other.delta("boats")[name], whole.difference)


def test_the_prior_is_that_of_the_dense_inverse() -> None:
    torch.manual_seed(0)
    tensor = torch.randn(3, 4, 2, dtype=torch.float64)
    covariances = []
    for size in tensor.shape:
        root = torch.randn(size, size, dtype=torch.float64)
        covariances.append(root @ root.T + torch.eye(size, dtype=torch.float64))
    dense = torch.kron(covariances[0], torch.kron(covariances[1], covariances[2]))
    wanted = tensor.flatten() @ torch.linalg.inv(dense) @ tensor.flatten()
    torch.testing.assert_close(relationship.normal(tensor, *covariances), wanted)


def test_the_relation_of_domains_is_found_and_none_is_assumed() -> None:
    torch.manual_seed(0)
    alike, other = torch.randn(8, 8), torch.randn(8, 8)
    tensor = torch.stack((alike, alike + 0.1 * torch.randn(8, 8), other))
    found = relationship.covariance_of([tensor])
    correlation = found / found.diagonal().sqrt().outer(found.diagonal().sqrt())
    assert correlation[0, 1] > 0.8 and abs(correlation[0, 2]) < 0.4
    torch.testing.assert_close(relationship.covariance_of([torch.zeros(3, 4, 4)]), torch.eye(3))


@pytest.mark.parametrize("on", ["adapters", "norms"])
def test_the_prior_moves_active_domains_alone(on: str) -> None:
    found = random_(model("relationship", on=on))
    gradients(found, ("boats",))
    moved = [
        [p.grad is not None and bool(p.grad.any()) for p in net.body.parameters()]
        for net in found.networks.values()
    ]
    assert any(moved[0]) and not any(moved[1]) and not any(moved[2])
