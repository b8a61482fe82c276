"""Equality with the published code: logits, loss and gradients of its modules on fixed weights and inputs."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from decathlon.models.multi_domain_model import DomainNetwork
from decathlon.models.registry import find_method
from decathlon.models.trunks.resnet26 import ResNet26
from decathlon.models.trunks.wide_resnet import WideResNet
from tests.conftest import outside

NORM = ("weight", "bias", "running_mean", "running_var")


def close(found: Tensor | None, published: Tensor) -> None:
    assert found is not None
    torch.testing.assert_close(found, published, atol=1e-4, rtol=1e-4)


def golden(name: str) -> dict[str, Tensor]:
    return load_file(outside("DECATHLON_GOLDEN", "golden") / f"{name}.safetensors")


def norm_names(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.{part}": f"{theirs}.{part}" for part in NORM}


def affine_names(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.{part}": f"{theirs}.{part}" for part in ("weight", "bias")}


def load(network: nn.Module, names: dict[str, str], numbers: dict[str, Tensor]) -> None:
    state = {ours: numbers[f"weights/{theirs}"] for ours, theirs in names.items()}
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing), missing


def resnet_names(domain: int, method: str) -> dict[str, str]:
    """Map our names of a ResNet-26 domain network to those of the published code."""
    sites = {"stem": ("stem_bn", "pre_layers_conv")}
    for stage in (1, 2, 3):
        for block in range(4):
            ours, theirs = f"stage{stage}.{block}", f"layer{stage}.{block}"
            sites[f"{ours}.conv1"] = (f"{ours}.bn1", f"{theirs}.conv1")
            sites[f"{ours}.conv2"] = (f"{ours}.bn2", f"{theirs}.conv2.1")
    names = norm_names("body.bn", f"end_bns.{domain}.0") | affine_names("head", f"linears.{domain}")
    for conv, (norm, site) in sites.items():
        series, bare = method == "series", method == "bn"
        names |= norm_names(f"body.{norm}", f"{site}.bns.{domain}" + ".1" * series)
        names[f"body.{conv}{'' if bare else '.conv'}.weight"] = f"{site}.conv.weight"
        if method == "parallel":
            names[f"body.{conv}.adapter.weight"] = f"{site}.parallel_conv.{domain}.conv.weight"
        if series:
            names |= norm_names(f"body.{conv}.norm", f"{site}.bns.{domain}.0.conv.0")
            names[f"body.{conv}.adapter.weight"] = f"{site}.bns.{domain}.0.conv.1.weight"
    return names


def mtan_names(domain: int) -> dict[str, str]:
    """Map our names of an MTAN domain network over wrn-10-1 to those of the published code."""
    names = affine_names("body.trunk.stem", "conv1") | norm_names("body.trunk.bn", "bn1")
    names |= affine_names("head", f"linear.{domain}.0")
    for stage in (1, 2, 3):
        ours, theirs = f"body.trunk.stage{stage}.0", f"layer{stage}.0"
        for part in ("conv1", "conv2"):
            names |= affine_names(f"{ours}.{part}", f"{theirs}.{part}")
        names |= affine_names(f"{ours}.shortcut", f"{theirs}.shortcut.0")
        names |= norm_names(f"{ours}.bn1", f"{theirs}.bn1") | norm_names(f"{ours}.bn2", f"{theirs}.bn2")
    for tap in range(4):
        ours, theirs = f"body.attention.{tap}", f"encoder_att.{domain}.{tap}"
        names |= affine_names(f"{ours}.0", f"{theirs}.0") | affine_names(f"{ours}.3", f"{theirs}.3")
        names |= norm_names(f"{ours}.1", f"{theirs}.1") | norm_names(f"{ours}.4", f"{theirs}.4")
        names |= affine_names(f"body.blocks.{tap}.0", f"encoder_block_att.{tap}.0")
        names |= norm_names(f"body.blocks.{tap}.1", f"encoder_block_att.{tap}.1")
    return names


def check_gradients(network: nn.Module, names: dict[str, str], numbers: dict[str, Tensor], images: Tensor) -> None:
    """Compare the gradients of the published loss, computed in float64.

    In float32 one activation within 1e-6 of zero is on either side of its ReLU, as the processor's kernels have it,
    and takes all gradients before it 1e-3 away (seen in channels_last on AMX processors).
    """
    network = copy.deepcopy(network).double()
    network.load_state_dict({ours: numbers[f"weights/{theirs}"] for ours, theirs in names.items()}, False)
    loss = cross_entropy(network(images.double()), numbers["labels0"].long())
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: None if p.grad is None else p.grad.float() for name, p in network.named_parameters()}
    compared = 0
    for ours, theirs in names.items():
        if f"grad/{theirs}" in numbers:
            close(gradients[ours], numbers[f"grad/{theirs}"])
            compared += 1
    assert compared == len(gradients)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("file", "method"),
    [("resnet26_domain_bn", "bn"), ("resnet26_parallel", "parallel"), ("resnet26_series", "series")],
)
def test_resnet26_equals_the_published_code(file: str, method: str, channels_last: bool) -> None:
    numbers = golden(file)
    trunk = ResNet26(width=0.125)
    maker = find_method(method)(trunk, "joint")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = numbers["input"].contiguous(memory_format=layout)
    for domain, classes in enumerate((5, 7)):
        network = DomainNetwork(maker.network(trunk), trunk.features, classes)
        names = resnet_names(domain, method)
        load(network, names, numbers)
        close(network.eval()(images), numbers[f"eval/{domain}"])
        if domain == 0:
            logits = network.train()(images)
            loss = cross_entropy(logits, numbers["labels0"].long())
            close(logits, numbers["train/logits0"])
            close(loss, numbers["train/loss0"].squeeze())
            check_gradients(network, names, numbers, images)


def test_mtan_equals_the_published_code() -> None:
    numbers = golden("wrn10_1_mtan")
    trunk = WideResNet(10, 1)
    maker = find_method("mtan")(trunk)
    for domain, classes in enumerate((5, 7, 3, 4, 2, 6, 8, 3, 5, 4)):
        network = DomainNetwork(maker.network(trunk), trunk.features, classes)
        names = mtan_names(domain)
        load(network, names, numbers)
        logits = network.eval()(numbers["input"])
        close(logits.softmax(1), numbers[f"eval/{domain}"])
        if domain == 0:
            logits = network.train()(numbers["input"])
            loss = cross_entropy(logits, numbers["labels0"].long())
            close(logits.softmax(1), numbers["train/logits0"])
            close(loss, numbers["train/loss0"].squeeze())
            check_gradients(network, names, numbers, numbers["input"])
