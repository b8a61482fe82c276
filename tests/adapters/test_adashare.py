"""adashare against the published numbers; policies that are learned, kept, obeyed and merged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from decathlon.adapters import adashare
from decathlon.experiments.resume import resume
from decathlon.inference.merging import merge
from decathlon.models.method import Moment
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.registry import find_method
from decathlon.models.trunks.registry import build
from decathlon.models.trunks.resnet26 import Block
from decathlon.system.progress import TrainingProgress
from tests.conftest import outside
from tests.helpers.runs import digests, dying_at, go


def golden() -> dict[str, Tensor]:
    found = load_file(outside("DECATHLON_GOLDEN", "golden") / "adashare_policy.safetensors")
    return {name: tensor.double() for name, tensor in found.items()}


class Double(nn.Module):
    """A block whose result is twice its input."""

    plain = True

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def test_a_policy_mixes_the_block_and_its_input_as_published() -> None:
    numbers = golden()
    for task in range(3):
        for block in range(3):
            part = adashare.gate(Double()).double()
            assert isinstance(part, adashare.Gate)
            part.logits.data = numbers[f"logits/{task}"][block].clone()
            part.noise, part.temperature = numbers[f"noise/{task}"][block], float(numbers["temperature"])
            x, p = torch.ones(1, dtype=torch.float64), numbers[f"soft/policy/{task}"][block]
            run, skip = numbers[f"upstream/{task}"][block]
            torch.testing.assert_close(part(x), p[0] * 2 * x + p[1] * x, rtol=1e-6, atol=1e-6)
            # the published gradient is of upstream . policy; here that of the mixture of maps with these sums
            mixture = torch.softmax((part.logits + part.noise) / part.temperature, 0)
            (gradient,) = torch.autograd.grad(mixture @ torch.stack((run, skip)), part.logits)
            torch.testing.assert_close(gradient, numbers[f"soft/grad_logits/{task}"][block], rtol=1e-6, atol=1e-6)
            part.eval()
            wanted = 2 * x if part.logits[0] >= part.logits[1] else x
            assert torch.equal(part(x), wanted)  # no noise in evaluation


def test_the_published_penalties() -> None:
    numbers = golden()
    logits = torch.stack([numbers[f"logits/{task}"] for task in range(3)]).requires_grad_()
    for kind, last in (("all", 3), ("last", 2)):
        loss = torch.stack([adashare.sparsity(row[-last:]) for row in logits]).sum()
        assert loss.item() == pytest.approx(numbers[f"sparsity/plain/{kind}/loss"].item(), rel=1e-6)
        (gradient,) = torch.autograd.grad(loss, logits)
        for task in range(3):
            wanted = numbers[f"sparsity/plain/{kind}/grad_logits/{task}"]
            torch.testing.assert_close(gradient[task], wanted, rtol=1e-6, atol=1e-6)
    loss = adashare.sharing(logits)
    assert loss.item() == pytest.approx(numbers["sharing/weighted/loss"].item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, logits)
    for task in range(3):
        torch.testing.assert_close(
            gradient[task], numbers[f"sharing/weighted/grad_logits/{task}"], rtol=1e-6, atol=1e-6
        )


def test_a_post_activation_block_is_mixed_as_published() -> None:
    numbers = {
        name.removeprefix("block/"): tensor for name, tensor in golden().items() if name.startswith("block/")
    }
    block = Block(4, 4).double()
    for part in ("conv1", "bn1", "conv2", "bn2"):
        for key, tensor in block.get_submodule(part).state_dict().items():
            if f"weights/blocks.0.0.{part}.{key}" in numbers:
                tensor.copy_(numbers[f"weights/blocks.0.0.{part}.{key}"])
    plain = block.eval()(numbers["input"])
    gated = adashare.gate(block)
    assert isinstance(gated, adashare.Gate)
    for norm in (block.bn1, block.bn2):
        norm.train(False)
    gated.training, gated.noise = True, torch.tensor([0.3, -0.1], dtype=torch.float64)
    p = torch.softmax((gated.logits + gated.noise) / gated.temperature, 0)
    torch.testing.assert_close(gated(numbers["input"]), p[0] * plain + p[1] * numbers["input"])


def model() -> MultiDomainModel:
    torch.manual_seed(0)
    found = MultiDomainModel(find_method("adashare")(build("wrn-16-1")), 0, torch.device("cpu"))
    for domain in ("boats", "cars"):
        found.add(domain, 3)
    return found


def test_blocks_are_freed_from_the_last_one_and_all_hold_after_the_phase() -> None:
    found = model()
    noisy = []
    for step in (0, 15, 30, 49, 50, 99):
        found.method.begin(found.networks, Moment(step, 100, 0))
        noisy.append([part.noise is not None for part in adashare.gates(found.networks["boats"])])
        assert (found.method.penalty(found.networks, ("boats",)) is None) == (step >= 50)
    assert noisy == [[False, False, True], [False, True, True], [True] * 3, [True] * 3, [False] * 3, [False] * 3]


def test_noise_is_a_function_of_seed_step_and_domain() -> None:
    found, drawn = model(), []
    for seed, step in ((0, 30), (0, 31), (1, 30), (0, 30)):
        found.method.begin(found.networks, Moment(step, 100, seed))
        drawn += [str(adashare.gates(net)[-1].noise) for net in found.networks.values()]
    assert drawn[:2] == drawn[-2:] and len(set(drawn)) == 6


def test_a_skipped_block_is_not_computed_and_not_in_a_merged_network() -> None:
    found = model()
    network = found.networks["boats"].eval()
    adashare.gates(network)[-1].leave_out()
    ran = []
    for path in ("stage1.1.conv1", "stage3.1.conv1"):
        network.body.get_submodule(path).register_forward_hook(lambda module, *_: ran.append(module))
    images = torch.randn(2, 3, 32, 32)
    wanted = network(images)
    assert ran == [network.body.get_submodule("stage1.1.conv1")]
    plain = merge(network)
    torch.testing.assert_close(plain(images), wanted, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in plain.parameters()) < sum(p.numel() for p in network.parameters()) * 0.8
    assert not any(isinstance(part, adashare.Gate) for part in plain.modules())
    stored = found.stored("boats")
    other = model()
    other.load("boats", stored, "a file")
    torch.testing.assert_close(other.networks["boats"].eval()(images), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("at", [4, 20])
def test_killed_in_either_phase_it_resumes_to_the_same_bits(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    asked = {"method": "adashare", "trunk": "wrn-16-1"}
    whole = digests(go(tiny, tmp_path / "whole", **asked))
    with dying_at(monkeypatch, at):
        go(tiny, tmp_path / "run", **asked)
    assert digests(resume(tmp_path / "run", None, TrainingProgress())) == whole
