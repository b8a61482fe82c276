"""Many domains at once: the same logits as one network after the other, with one pass of a shared trunk."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from decathlon.errors import UsageError
from decathlon.inference.serving import merge_all, predict_all, predict_mixed, sharing
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.registry import find_method, methods
from decathlon.models.surgery import named_norms
from decathlon.models.trunks.wide_resnet import WideResNet

READERS = ["feature", "mtan", "dense"]


def model(method: str, norms: str | None = None, own: bool = False) -> MultiDomainModel:
    torch.manual_seed(0)
    trunk = WideResNet(10, 1)
    kind = find_method(method)
    options = kind.choose({"norms": norms}) if norms else None
    regime = "frozen" if "frozen" in kind.regimes else kind.regimes[0]
    state = {place: norm.state_dict() for place, norm in named_norms(trunk)}
    made = MultiDomainModel(kind(trunk, regime, options), 0, torch.device("cpu"), {"b": state} if own else None)
    for name, classes in (("a", 2), ("b", 3), ("c", 4)):
        made.add(name, classes).eval()
    return made


def images(count: int = 6) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", methods())
def test_all_domains_at_once_equal_one_after_the_other(method: str) -> None:
    networks = model(method).networks
    found = predict_all(networks, images())
    assert list(found) == list(networks)
    for name, network in networks.items():
        torch.testing.assert_close(found[name], network(images()))


def test_networks_in_training_mode_are_refused_unchanged() -> None:
    networks = model("feature", "trunk").networks
    networks["b"].train()
    before = {name: tensor.clone() for name, tensor in networks["b"].state_dict().items()}
    for predict in (lambda: predict_all(networks, images()), lambda: predict_mixed(networks, images(1), ["a"])):
        with pytest.raises(UsageError, match="the network of b is in training mode. Call its eval"):
            predict()
    assert all(torch.equal(before[name], tensor) for name, tensor in networks["b"].state_dict().items())


@pytest.mark.parametrize(
    ("domains", "message"),
    [(["a"] * 3, "there are 6 images"), (["a"] * 7, "there are 6"), ("aaaaaa", "in a list"), (["x"] * 6, "'x'")],
)
def test_every_image_needs_its_domain(domains: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        predict_mixed(model("feature").networks, images(), domains)


@pytest.mark.parametrize("method", methods())
def test_merged_networks_share_what_they_shared(method: str) -> None:
    networks = model(method).networks
    plain = merge_all(networks)
    assert sharing(plain) == sharing(networks)
    for name, logits in predict_all(plain, images()).items():
        torch.testing.assert_close(logits, networks[name](images()), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", ["feature", "mtan", "parallel", "finetune"])
def test_mixed_images_get_the_logits_of_their_own_domain(method: str) -> None:
    networks = model(method).networks
    domains = ["b", "a", "b", "c", "a", "b"]
    for row, (name, logits) in enumerate(zip(domains, predict_mixed(networks, images(), domains), strict=True)):
        torch.testing.assert_close(logits, networks[name](images())[row], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", READERS)
def test_readers_share_one_pass_where_no_domain_has_norms_of_its_own(method: str, monkeypatch: Any) -> None:
    passes: list[int] = []
    real = WideResNet.taps

    def counted(trunk: WideResNet, batch: Tensor) -> tuple[Tensor, ...]:
        passes.append(len(batch))
        return real(trunk, batch)

    monkeypatch.setattr(WideResNet, "taps", counted)
    predict_all(model(method).networks, images())
    assert passes == [6]
    predict_mixed(model(method).networks, images(), list("abcabc"))
    assert passes == [6, 6]
    assert sharing(model(method, own=True).networks) == [["a", "c"], ["b"]]


def test_a_trunk_in_training_is_not_shared() -> None:
    networks = model("bn").networks
    for network in networks.values():
        network.train()
    assert sharing(networks) == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize(("norms", "takes"), [("domain", True), ("trunk", False)])
@pytest.mark.parametrize("method", READERS)
def test_the_option_leaves_the_domains_norms_to_the_trunks(method: str, norms: str, takes: bool) -> None:
    assert model(method, norms).method.takes_norms is takes


def test_methods_that_read_one_trunk_share_it_merged_too() -> None:
    trunk = WideResNet(10, 1)
    networks = {}
    for name in ("feature", "mtan", "dense"):  # they keep it in different places
        kind = find_method(name)
        made = MultiDomainModel(kind(trunk, "frozen", kind.choose({"norms": "trunk"})), 0, torch.device("cpu"))
        networks[name] = made.add(name, 3).eval()
    plain = merge_all(networks)
    assert sharing(plain) == sharing(networks) == [["feature", "mtan", "dense"]]
    for name, logits in predict_all(plain, images()).items():
        torch.testing.assert_close(logits, networks[name](images()), atol=1e-4, rtol=1e-4)


def test_logits_come_in_the_order_of_the_networks() -> None:
    shared, alone = model("feature", "trunk").networks, model("bn").networks
    networks = {"x": shared["a"], "y": alone["b"], "z": shared["c"]}
    assert list(predict_all(networks, images())) == ["x", "y", "z"]
    assert [len(logits) for logits in predict_mixed(networks, images(3), ["z", "y", "x"])] == [4, 3, 2]
