"""Equality with the published code: logits, loss and gradients of its modules on fixed weights and inputs."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from decathlon.adapters.piggyback import Mask
from decathlon.config.recipe import Recipe
from decathlon.models.layers import EditedConv
from decathlon.models.multi_domain_model import DomainNetwork
from decathlon.models.registry import find_method
from decathlon.models.trunks.resnet26 import ResNet26
from decathlon.models.trunks.wide_resnet import WideResNet
from decathlon.training.forward import mixed_logits
from decathlon.training.optimizer import make_optimizers
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
        network = DomainNetwork(maker.network(trunk, "boats"), trunk.features, classes)
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
        network = DomainNetwork(maker.network(trunk, "boats"), trunk.features, classes)
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


def relative(found: Tensor | None, published: Tensor) -> None:
    """Compare in float64, by the largest number of a tensor: the published ones are stored in float32."""
    assert found is not None
    largest = published.abs().max().item()
    torch.testing.assert_close(found.double(), published.double(), atol=2e-7 * largest + 1e-12, rtol=0)


def url_names() -> dict[str, str]:
    """Map our names of a trunk resnet26-url to those of the published code."""
    names = {"stem.weight": "conv1.weight"} | norm_names("stem_bn", "bn1") | norm_names("bn", "end_bn")
    for site in [f"{stage}.{block}" for stage in (1, 2, 3) for block in range(4)]:
        for part in ("1", "2"):
            names[f"stage{site}.conv{part}.weight"] = f"layer{site}.conv{part}.weight"
            names |= norm_names(f"stage{site}.bn{part}", f"layer{site}.bn{part}")
    return names


def test_universal_representations_equal_the_published_code() -> None:
    """The joint network with one set of norms, and a step on one batch of all domains, decay on everything."""
    numbers = {name: t.double() if t.is_floating_point() else t for name, t in golden("resnet26_url").items()}
    trunk = ResNet26(width=0.125, last_relu=False).double()
    load(trunk, url_names(), numbers)
    kind = find_method("split")
    maker = kind(trunk, options=kind.choose({"norms": "trunk"}))
    networks = {}
    for domain, classes in enumerate((5, 7, 3)):
        network = DomainNetwork(maker.network(trunk, "boats"), trunk.features, classes).double()
        network.head.load_state_dict({k: numbers[f"weights/cls_fn.{domain}.{k}"] for k in ("weight", "bias")})
        networks[str(domain)] = network
        relative(network.eval().body(numbers[f"input/{domain}"]), numbers[f"eval/features{domain}"])
        relative(network(numbers[f"input/{domain}"]), numbers[f"eval/{domain}"])
    recipe = Recipe(optimizer="momentum", lr=0.01, weight_decay=1e-4, decay_norms=True)
    (optimizer,) = make_optimizers(maker, nn.ModuleDict(), networks, recipe)
    together = [network.train() for network in networks.values()]
    logits = mixed_logits(together, [numbers[f"input/{domain}"] for domain in networks])
    losses = [cross_entropy(each, numbers[f"labels/{d}"].long()) for each, d in zip(logits, networks, strict=True)]
    for name, each, loss in zip(networks, logits, losses, strict=True):
        relative(each, numbers[f"train/logits{name}"])
        relative(loss, numbers[f"train/loss{name}"].squeeze())
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    parameters = {theirs: dict(trunk.named_parameters()).get(ours) for ours, theirs in url_names().items()}
    for head, network in networks.items():
        parameters |= {f"cls_fn.{head}.{name}": p for name, p in network.head.named_parameters()}
    gradients = {theirs: p for theirs, p in parameters.items() if p is not None}
    assert gradients.keys() == {name.removeprefix("grad/") for name in numbers if name.startswith("grad/")}
    for theirs, parameter in gradients.items():
        relative(parameter.grad, numbers[f"grad/{theirs}"])
    for ours, theirs in url_names().items():
        if "running" in ours:
            relative(trunk.state_dict()[ours], numbers[f"after/{theirs}"])
    optimizer.step()
    for theirs in [name.removeprefix("step/") for name in numbers if name.startswith("step/")]:
        relative(gradients[theirs], numbers[f"step/{theirs}"])


@pytest.mark.parametrize("kind", ["binary", "ternary"])
def test_piggyback_equals_the_published_code(kind: str) -> None:
    numbers = {name: tensor.double() for name, tensor in golden("piggyback_ternary").items()}
    given = {name.removeprefix("conv/"): tensor for name, tensor in numbers.items() if name.startswith("conv/")}
    stride = int(given["stride"])
    conv = nn.Conv2d(4, 6, 3, stride, 1, bias=False).double().requires_grad_(False)
    conv.weight.copy_(given["weight"])
    mask = Mask(conv.weight, kind == "ternary")
    with torch.no_grad():
        mask.mask.copy_(given["mask_real"])
    images = given["input"].requires_grad_()
    masked = EditedConv(conv, mask)
    out = masked(images)
    (out * given["upstream"]).sum().backward()
    relative(mask(conv.weight), given[f"{kind}/weight"])
    relative(out, given[f"{kind}/output"])
    relative(mask.mask.grad, given[f"{kind}/grad_mask"])
    relative(images.grad, given[f"{kind}/grad_input"])
