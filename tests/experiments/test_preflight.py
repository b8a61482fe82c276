"""What is refused or noted before a run is written: images too small for a network, images that are enlarged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from decathlon.data.domains import Benchmark, Packing
from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError
from decathlon.experiments.preflight import enlarged_notes
from decathlon.models.image_size import refuse_size
from decathlon.models.registry import methods
from decathlon.models.trunks.wide_resnet import WideResNet
from tests.helpers.packs import TINY, write_pack
from tests.helpers.runs import RECIPE, go


class Valley(nn.Module):
    """Takes images of 40 pixels and more, or only those of a multiple of 32."""

    def __init__(self, even: bool = False) -> None:
        super().__init__()
        self.conv, self.even = nn.Conv2d(3, 1, 40), even

    def forward(self, images: Tensor) -> Tensor:
        if self.even and images.shape[-1] % 32:
            raise AssertionError("no multiple of 32")
        out: Tensor = self.conv(images)
        return out


def test_the_least_size_that_will_do_is_named() -> None:
    refuse_size(Valley(), 40, "it")
    with pytest.raises(
        UsageError, match=r"^it cannot take images of 39 pixels. Set --size 40, or choose another tr"
    ):
        refuse_size(Valley(), 39, "it")
    with pytest.raises(UsageError, match="of 70 pixels. Set --size 96,"):
        refuse_size(Valley(even=True), 70, "it")


def test_a_network_that_takes_no_image_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match=r"^it cannot take images of 64 pixels \(Given groups=1.* Choose another"):
        refuse_size(nn.Conv2d(4, 1, 3), 64, "it")


@pytest.mark.parametrize("method", [name for name in methods() if name != "parallel-svd"])
def test_every_method_over_a_deep_trunk_is_refused_before_anything_is_written(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    real = WideResNet.taps

    def deep(trunk: WideResNet, images: Tensor) -> tuple[Tensor, ...]:
        if images.shape[-1] < 20:
            raise RuntimeError("Kernel size can't be greater than actual input size")
        return real(trunk, images)

    monkeypatch.setattr(WideResNet, "taps", deep)
    with pytest.raises(
        UsageError, match=rf"^wrn-10-\d(-dan)? with {method} cannot take images of 16 .* --size 20, or"
    ):
        go(tiny, tmp_path / "run", method)
    assert not (tmp_path / "run").exists()


def test_trying_the_size_changes_no_random_number(tiny: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    go(tiny, tmp_path / "run", recipe=RECIPE.override({"epochs": 1}))
    assert torch.equal(state, torch.get_rng_state())


def notes(path: Path, size: int, packing: Packing | None, crop: str = "domain") -> list[str]:
    benchmark = Benchmark("tiny", tuple(replace(domain, packing=packing) for domain in TINY))
    with PackedFile(write_pack(path / "x.h5", benchmark)) as packed:
        domains = list(packed.benchmark)
        return enlarged_notes(packed, domains, RECIPE.override({"size": size, "crop": crop}), "train")


def test_images_that_are_enlarged_are_noted_once_with_the_side_to_pack_at(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    told = (
        f"{path} was packed at 36 pixels, and images are enlarged to 180. For sharper ones pack it with --side 180."
    )
    assert notes(tmp_path, 160, Packing(36)) == [told]
    path.unlink()
    assert notes(tmp_path, 160, None) == [told]  # of an earlier release: the largest image shows it


@pytest.mark.parametrize(
    ("size", "packing", "crop"),
    [(32, Packing(36), "domain"), (32, None, "domain"), (160, Packing(72), "domain"), (32, Packing(36), "full")],
)
def test_images_that_fit_or_were_small_before_are_not_noted(
    tmp_path: Path, size: int, packing: Packing | None, crop: str
) -> None:
    assert notes(tmp_path, size, packing, crop) == []
