"""Parameter counts and ratios of the papers."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from torch import Tensor, nn

from decathlon.cli.main import command
from decathlon.models.footprint import Convention, Footprint, count
from decathlon.models.registry import find_method
from decathlon.models.trunks.registry import build
from decathlon.reports.footprint_report import count_method


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
    counted = count_method("parallel", "resnet26")[1]
    adapters = [row.bits // 32 for row in counted.rows if row.scope == "omniglot" and row.part == "weights"]
    assert adapters == [645_216]
    assert counted.ratio(counted.published) == 2.0


def own(counted: Footprint, *parts: str) -> int:
    """Return the 32-bit numbers of one domain in some parts."""
    return sum(row.bits // 32 for row in counted.rows if row.scope == "omniglot" and row.part in parts)


def test_series_adapters_have_the_published_size() -> None:
    counted = count_method("series", "resnet26")[1]
    assert own(counted, "weights") == 689_152
    assert own(counted, "norms", "copied norms") == 14_976
    assert round(counted.ratio(counted.published), 2) == 2.07


def test_dan_controllers_have_the_published_size() -> None:
    counted = count_method("dan", "wrn-28-4-dan")[1]
    assert own(counted, "weights") == 774_400
    assert round(counted.ratio(counted.published), 2) == 2.19
    # its statistics fold into an affine part that the domains share: each needs one of its own at test time
    assert own(counted, "norms", "copied norms") == 7200
    assert round(counted.ratio(), 2) == 2.20


def test_a_diagonal_controller_has_a_number_per_filter() -> None:
    filters = sum(part.out_channels for part in build("wrn-28-4-dan").modules() if isinstance(part, nn.Conv2d))
    assert own(count_method("dan", "wrn-28-4-dan", options={"diagonal": True})[1], "weights") == filters


@pytest.mark.parametrize(("ternary", "ratio"), [(False, 1.281), (True, 1.562)])
def test_piggyback_masks_take_a_bit_a_weight(ternary: bool, ratio: float) -> None:
    counted = count_method("piggyback", "resnet26", options={"ternary": ternary})[1]
    assert round(counted.ratio(counted.published), 3) == round(counted.ratio(), 3) == ratio


def test_parallel_svd_with_and_without_what_the_domains_share() -> None:
    counted = count_method("parallel-svd", "resnet26")[1]
    assert counted.ratio(counted.published) == pytest.approx(1.5, abs=0.01)  # 1.495: the stem has 3 inputs
    assert round(counted.ratio(), 2) == 1.55
    assert round(counted.ratio(Convention(heads=False, norms="out", nine=True)), 2) == 1.54


def test_params_says_what_is_counted_and_what_its_words_mean() -> None:
    words = ["params", "--method", "piggyback", "--set", "ternary=true", "--trunk", "resnet26"]
    shown = CliRunner().invoke(command, words).output
    assert "What is stored: piggyback ternary=true over resnet26" in shown and "as its paper counts" in shown
    assert "'once' leaves out a domain's copies" in shown and "Statistics are stored and never billed" in shown
    found = json.loads(CliRunner().invoke(command, [*words, "--json"]).output)
    assert (found["method"], found["trunk"]) == ("piggyback ternary=true", "resnet26") and "run" not in found


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "trunk"), [("wide", "wrn-28-5"), ("deep", "wrn-40-4")])
def test_presets_of_split_are_about_as_large_as_mtan(preset: str, trunk: str) -> None:
    kind = find_method("split")
    assert kind.trunk_name("wrn-28-4", kind.choose({"preset": preset})) == trunk
    counted = count_method("split", "wrn-28-4", options={"preset": preset})[1]
    assert counted.ratio() > 1.5  # of the trunk that the user gave
    larger = sum(row.bits for row in count_method("split", trunk)[1].rows if row.scope == "trunk")
    mtan = sum(row.bits for row in count_method("mtan", "wrn-28-4")[1].rows if row.part in ("weights", "norms"))
    assert larger / mtan == pytest.approx(1, abs=0.1)


def test_mtan_with_the_official_heads() -> None:
    counted = count_method("mtan", "wrn-28-4")[1]
    assert counted.bits(Convention(heads=True, norms="once", nine=False)) == 32 * 10_237_656
    assert round(counted.ratio(Convention(heads=False, norms="once", nine=False)), 3) == 1.612
    assert round(counted.ratio(counted.published), 3) == 1.750
    attention = [row for row in counted.rows if row.scope == "dtd" and row.part in ("weights", "norms")]
    assert sum(row.bits for row in attention) == 32 * 261_344
    assert (
        sum(row.bits for row in counted.rows if row.scope == "shared" and row.part != "statistics") == 32 * 969_792
    )


@pytest.mark.parametrize(("method", "ratio"), [("scratch", 10.0), ("finetune", 10.0), ("feature", 1.0)])
def test_ratios_of_the_plain_methods(method: str, ratio: float) -> None:
    assert count_method(method, "resnet26")[1].ratio() == ratio


def test_a_frozen_trunk_serves_its_own_domain_for_free() -> None:
    counted = count_method("parallel", "resnet26")[1]
    ten = counted.ratio(Convention(heads=False, norms="out", nine=False))
    assert ten == pytest.approx(1 + 10 / 9)


def test_the_unit_has_32_bits_a_number_whatever_a_method_stores() -> None:
    trunk = build("wrn-10-1")

    def halved(_: str, tensor: Tensor) -> int:
        return 16 * tensor.numel()

    convention = Convention(heads=False, norms="in", nine=False)
    found = count(trunk, nn.Module(), {"boats": trunk}, halved, convention, convention, trunk)
    assert found.ratio() == 0.5
