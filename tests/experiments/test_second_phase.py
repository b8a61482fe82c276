"""Runs over the trunk of another run: what a domain starts from, and what it must not take along."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from decathlon.adapters.parallel_svd import LowRankConv, ParallelSvd
from decathlon.errors import DataError, UsageError
from decathlon.experiments.resume import resume
from decathlon.models.method import Learned
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.registry import find_method
from decathlon.models.trunks.wide_resnet import WideResNet
from decathlon.runs.loading import load
from decathlon.runs.run_directory import Run
from decathlon.runs.trunk_source import find_trunk
from decathlon.system.progress import TrainingProgress
from decathlon.system.tensor_files import read_tensors
from tests.helpers.marks import quickly, slow
from tests.helpers.packs import TINY, tiny_domain, write_pack
from tests.helpers.runs import RECIPE, digests, dying_at, go

CPU = torch.device("cpu")
SHORT = RECIPE.override({"epochs": 2})
# name of a run: its method and what else it was asked
SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "bn": ("bn", {}),
    "mtan": ("mtan", {}),
    "parallel": ("parallel", {"trunk": "bn"}),
    "piggyback": ("piggyback", {"trunk": "bn", "options": {"own_norms": True}}),
    "series": ("series", {"regime": "joint"}),
}


@pytest.fixture(scope="module")
def runs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("sources")

    @cache
    def trained(name: str) -> Run:
        method, asked = SOURCES[name]
        trunk = str(trained(asked["trunk"]).folder) if "trunk" in asked else "wrn-10-1"
        return go(tiny, folder / name, method, **asked | {"trunk": trunk, "recipe": SHORT})

    return trained


def images() -> Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def begun(run: Run, method: str, domain: str = "boats") -> tuple[MultiDomainModel, nn.Module]:
    """Return the family and body of a domain that would begin over a run's trunk."""
    source = find_trunk(str(run.folder), 0)
    made = find_method(method)(source.trunk)
    model = MultiDomainModel(made, 0, CPU, source.norms_for(made, [domain]), made.prepare(source.learned, [domain]))
    return model, model.add(domain, 5).eval().body


@pytest.mark.parametrize("method", ["feature", "bn", slow("finetune"), slow("piggyback"), slow("dan")])
@pytest.mark.parametrize("source", quickly(SOURCES, "bn", "piggyback"))
def test_a_domain_starts_from_norms_that_belong_to_the_trunk_as_it_is(runs: Any, source: str, method: str) -> None:
    model, body = begun(runs(source), method)
    learned = load(runs(source), runs(source).read(), CPU).model.networks["boats"].eval().body
    if source == "mtan":
        learned = learned.get_submodule("trunk")
    # norms learned beside adapters are wrong without these: then the trunk's own
    wanted = learned if source in ("bn", "mtan") else model.trunk.eval()
    tolerance = 0.5 if method == "dan" else 1e-5  # dan starts near the trunk
    torch.testing.assert_close(body(images()), wanted(images()), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("source", ["bn", "series"])
def test_scratch_takes_nothing_from_the_trunk_it_is_given(runs: Any, source: str) -> None:
    _, body = begun(runs(source), "scratch")
    for norm in (part for part in body.modules() if isinstance(part, nn.BatchNorm2d)):
        assert norm.num_batches_tracked == 0 and norm.running_mean is not None
        assert not norm.running_mean.any() and not norm.bias.any()


@pytest.mark.parametrize("method", ["dan", "piggyback", "feature"])
def test_frozen_affine_parts_stay_frozen_where_the_domain_has_its_own(runs: Any, method: str) -> None:
    _, body = begun(runs("bn"), method)
    norms = [part for part in body.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms and not any(parameter.requires_grad for norm in norms for parameter in norm.parameters())


@pytest.mark.parametrize("source", ["parallel", "series"])
def test_leaving_adapters_out_is_remarked_on(
    tiny: Path, tmp_path: Path, runs: Any, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    go(tiny, tmp_path / "run", "feature", trunk=str(runs(source).folder), recipe=SHORT, domains=("apples",))
    assert f"holds {source} adapters, which feature leaves out" in " ".join(capsys.readouterr().err.split())


def test_dan_starts_at_the_identity_and_a_little_noise_on_its_diagonal() -> None:
    torch.manual_seed(0)
    edit = find_method("dan")(WideResNet(10, 4)).conv(nn.Conv2d(64, 256, 3)).get_submodule("edit")
    off = edit.get_parameter("controller") - torch.eye(256)
    assert off.diag().std().item() == pytest.approx(1 / 256, rel=0.2)
    assert not (off - off.diag().diag()).any()


def parallel_deltas(trunk: WideResNet) -> dict[str, dict[str, Tensor]]:
    model = MultiDomainModel(find_method("parallel")(trunk), 0, CPU)
    for name in ("apples", "boats"):
        model.add(name, 3)
    return {name: model.delta(name) for name in model.networks}


def test_the_decomposition_is_the_best_of_its_rank_and_balanced() -> None:
    trunk = WideResNet(10, 1)
    deltas = parallel_deltas(trunk)
    made = ParallelSvd(trunk)
    starts = made.prepare(Learned("parallel", deltas), ["apples", "boats"])
    model = MultiDomainModel(made, 0, CPU, starts=starts)
    networks = [model.add(name, 3) for name in starts]
    site = "stage2.0.conv2"
    whole = torch.cat([delta[f"body.{site}.adapter.weight"][:, :, 0, 0] for delta in deltas.values()], 1)
    left, values, right = torch.linalg.svd(whole)
    convs = [network.body.get_submodule(site) for network in networks]
    assert all(isinstance(conv, LowRankConv) for conv in convs)
    beta = convs[0].get_parameter("beta.weight")[:, :, 0, 0]
    gammas = [conv.get_parameter("gamma.weight")[:, :, 0, 0] for conv in convs]
    rank = beta.shape[1]
    assert rank == min(whole.shape[0], whole.shape[1] // 2) // 2
    best = (left[:, :rank] * values[:rank]) @ right[:rank]
    torch.testing.assert_close(torch.cat([beta @ gamma for gamma in gammas], 1), best, atol=1e-5, rtol=1e-4)
    balance = torch.diag(values[:rank])
    torch.testing.assert_close(beta.T @ beta, balance, atol=1e-5, rtol=1e-4)
    side = torch.cat(gammas, 1)
    torch.testing.assert_close(side @ side.T, balance, atol=1e-5, rtol=1e-4)


def test_a_second_phase_that_dies_before_its_first_checkpoint_starts_from_the_same(
    tiny: Path, tmp_path: Path, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"trunk": str(runs("parallel").folder), "recipe": SHORT}
    whole = go(tiny, tmp_path / "whole", "parallel-svd", **asked)
    with dying_at(monkeypatch, 0):
        go(tiny, tmp_path / "killed", "parallel-svd", **asked)
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(whole)


def test_a_second_phase_over_other_categories_starts_with_new_heads(
    tmp_path: Path, runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shifted = tuple(tiny_domain(d.name, d.index + 4, len(d.categories), crop=d.crop) for d in TINY)
    other = write_pack(tmp_path / "other.h5", type(TINY)("other", shifted))
    go(other, tmp_path / "run", "parallel-svd", trunk=str(runs("parallel").folder), recipe=SHORT)
    said = " ".join(capsys.readouterr().err.split())
    assert "learned other categories of apples, whose head starts anew" in said


@pytest.mark.parametrize("method", ["feature", slow("finetune"), slow("mtan"), "scratch"])
def test_heads_of_the_trunks_run_may_be_kept(tiny: Path, tmp_path: Path, runs: Any, method: str) -> None:
    trunk = runs("bn")
    still = RECIPE.override({"epochs": 1, "lr": 0.0, "heads": "kept"})
    for heads in ("kept", "fresh"):
        run = go(tiny, tmp_path / heads, method, trunk=str(trunk.folder), recipe=still.override({"heads": heads}))
        for name in TINY.names:
            mine, before = (read_tensors(each.domain(name))[0]["head.weight"] for each in (run, trunk))
            assert torch.equal(mine, before) == (heads == "kept" and method != "scratch")


def test_kept_heads_of_other_categories_start_anew(
    tmp_path: Path, runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shifted = tuple(tiny_domain(d.name, d.index + 4, len(d.categories), crop=d.crop) for d in TINY)
    other = write_pack(tmp_path / "other.h5", type(TINY)("other", shifted))
    kept = SHORT.override({"heads": "kept"})
    go(other, tmp_path / "run", "feature", trunk=str(runs("bn").folder), recipe=kept)
    assert "learned other categories of apples, whose head starts anew" in " ".join(capsys.readouterr().err.split())


def test_masks_resume_with_their_own_optimizer(
    tiny: Path, tmp_path: Path, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a rate at which bits flip from step to step: a forgotten moment would show."""
    asked: dict[str, Any] = {"trunk": str(runs("bn").folder), "recipe": SHORT, "options": {"lr": 0.05}}
    whole = go(tiny, tmp_path / "whole", "piggyback", **asked)
    with dying_at(monkeypatch, 10):
        go(tiny, tmp_path / "killed", "piggyback", **asked)
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(whole)


@pytest.mark.parametrize("name", ["a/b", "../x", "-x", ".x", "trunk", "shared", "", "a\nb"])
def test_a_name_that_cannot_be_a_file_or_a_scope_is_no_domain(name: str) -> None:
    with pytest.raises(DataError, match="is not a valid domain name"):
        tiny_domain(name, 1, 2)


@pytest.mark.parametrize("method", ["piggyback", "feature"])
def test_weight_edits_keep_the_padding_of_foreign_convolutions(method: str) -> None:
    from decathlon.models.trunks.registry import build

    trunk = build("timm:tf_mobilenetv3_small_minimal_100", empty=True)
    body = MultiDomainModel(find_method(method)(trunk), 0, CPU).add("x", 3).eval().body
    torch.testing.assert_close(body(images()), trunk.eval()(images()), atol=1e-4, rtol=1e-4)


def test_a_trunk_that_diverged_is_refused(tiny: Path, tmp_path: Path, runs: Any) -> None:
    run = runs("bn")
    copy = Run(tmp_path / "copy")
    copy.folder.mkdir()
    copy.write(replace(run.read(), status="diverged"))
    with pytest.raises(UsageError, match="diverged. Train it again"):
        find_trunk(str(copy.folder), 0)
