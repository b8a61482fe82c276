"""Parameter counts and ratios of the papers."""

from __future__ import annotations

import pytest
from torch import nn

from decathlon.count import count_method
from decathlon.footprint import Convention
from decathlon.trunks import build


def parameters(module: nn.Module, norms: bool) -> int:
    parts = (part for part in module.modules() if isinstance(part, nn.BatchNorm2d) == norms)
    return sum(p.numel() for part in parts for p in part.parameters(recurse=False))


@pytest.mark.parametrize(("name", "count"), [("wrn-28-4", 5_850_528), ("wrn-28-4-dan", 5_846_480)])
def test_wide_resnets_have_the_published_size(name: str, count: int) -> None:
    assert sum(p.numel() for p in build(name).parameters()) == count


def test_wrn_28_10_has_36_million() -> None:
    assert round(sum(p.numel() for p in build("wrn-28-10-dan").parameters()) / 1e6, 1) == 36.5


def test_resnet26_has_the_published_size() -> None:
    trunk = build("resnet26")
    assert parameters(trunk, norms=False) == 5_806_944
    assert parameters(trunk, norms=True) == 7_744


def test_parallel_adapters_are_a_ninth_of_the_trunk_per_domain() -> None:
    counted = count_method("parallel", "resnet26")
    adapters = [row.bits // 32 for row in counted.rows if row.scope == "omniglot" and row.part == "weights"]
    assert adapters == [645_216]
    assert counted.ratio(counted.published) == 2.0


def test_mtan_with_the_official_heads() -> None:
    counted = count_method("mtan", "wrn-28-4")
    assert counted.bits(Convention(heads=True, norms="once", nine=False)) == 32 * 10_237_656
    assert round(counted.ratio(Convention(heads=False, norms="once", nine=False)), 3) == 1.612
    assert round(counted.ratio(counted.published), 3) == 1.750
    attention = [row for row in counted.rows if row.scope == "dtd" and row.part in ("weights", "norms")]
    assert sum(row.bits for row in attention) == 32 * 261_344
    assert sum(row.bits for row in counted.rows if row.scope == "shared") == 32 * 969_792


@pytest.mark.parametrize(("method", "ratio"), [("scratch", 10.0), ("finetune", 10.0), ("feature", 1.0)])
def test_ratios_of_the_plain_methods(method: str, ratio: float) -> None:
    assert count_method(method, "resnet26").ratio() == ratio


def test_a_frozen_trunk_serves_its_own_domain_for_free() -> None:
    counted = count_method("parallel", "resnet26")
    ten = counted.ratio(Convention(heads=False, norms="out", nine=False))
    assert ten == pytest.approx(1 + 10 / 9)
