from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import center_crop  # type: ignore[import-untyped]

from decathlon.data import image_pool as pool_module
from decathlon.data.image_pool import ImagePool, fit, load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DataError
from decathlon.system.device import home_of
from tests.helpers.packs import TINY, patch

MEAN = (0.5, 0.45, 0.4)


def ragged_pool(
    flip: bool = True, size: int = 8
) -> tuple[ImagePool, list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]]:
    """Return a pool whose pixels hold their own position: red is the row, green the column, blue the image."""
    images = []
    for number, (height, width) in enumerate([(8, 8), (10, 17), (23, 9)]):
        rows, columns = np.mgrid[:height, :width]
        images.append(np.stack([rows, columns, np.full_like(rows, number)], -1).astype(np.uint8))
    domain = TINY["apples"] if flip else TINY["boats"]
    return ImagePool(domain, images, torch.tensor([0, 1, 0]), [11, 12, 13], size), images


def places(pool: ImagePool, batch: torch.Tensor) -> torch.Tensor:
    """Undo the normalisation: (batch, 3, size, size) of row, column, image."""
    return ((batch * 0.25 + torch.tensor(MEAN).view(3, 1, 1)) * 255).round().long()


def test_centre_crop_takes_the_middle_of_ragged_images() -> None:
    pool, images = ragged_pool()
    found = places(pool, pool.batch(torch.tensor([2, 0, 1])))
    for position, number in enumerate([2, 0, 1]):
        height, width = images[number].shape[:2]
        top, left = round((height - 8) / 2), round((width - 8) / 2)
        expected = images[number][top : top + 8, left : left + 8].transpose(2, 0, 1)
        np.testing.assert_array_equal(found[position].numpy(), expected)


@pytest.mark.parametrize("size", [8, 15, 64])
def test_the_centre_is_the_one_that_torchvision_cuts(size: int) -> None:
    """Over every remainder: one pixel over is cut at the end, three are cut one in front and two behind."""
    sides = [(size + over, size + (over * 7) % 123) for over in range(123)]
    images = [np.stack([*np.mgrid[:height, :width], np.zeros((height, width))], -1) for height, width in sides]
    pool = ImagePool(
        TINY["apples"], [image.astype(np.uint8) for image in images], torch.zeros(123), [*range(123)], size
    )
    found = places(pool, pool.batch(torch.arange(123)))
    for image, cut in zip(images, found, strict=True):
        assert torch.equal(cut, center_crop(torch.from_numpy(image).permute(2, 0, 1), [size, size]).long())
    assert found[1, 0, 0, 0] == 0 and found[3, 0, 0, 0] == 2


def test_a_random_batch_is_a_function_of_its_seed_and_stays_inside() -> None:
    pool, images = ragged_pool()
    index = torch.tensor([0, 1, 2] * 20)
    first, again, other = (pool.batch(index, seed=("run", step)) for step in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    found = places(pool, first)
    for position, number in enumerate(index.tolist()):
        height, width = images[number].shape[:2]
        row, column, image = found[position]
        assert bool((image == number).all())
        assert row.max() < height and column.max() < width
        assert bool((row.diff(dim=0) == 1).all())
        assert bool((column.diff(dim=1).abs() == 1).all())


def test_every_corner_is_reached() -> None:
    pool, _ = ragged_pool()
    found = places(pool, pool.batch(torch.full((400,), 1), seed=(0,)))
    assert set(found[:, 0, 0, 0].tolist()) == {0, 1, 2}
    assert {int(crop.min()) for crop in found[:, 1]} == set(range(10))


@pytest.mark.parametrize(("flips", "share"), [(True, 0.5), (False, 0.0)])
def test_flips_half_of_the_images_only_where_the_domain_allows(flips: bool, share: float) -> None:
    pool, _ = ragged_pool(flip=flips)
    found = places(pool, pool.batch(torch.zeros(1000, dtype=torch.long), seed=(3,)))
    mirrored = (found[:, 1, 0, 0] > found[:, 1, 0, 1]).float().mean().item()
    assert abs(mirrored - share) < 0.05


def test_a_batch_is_channels_last_without_a_copy() -> None:
    pool, _ = ragged_pool()
    batch = pool.batch(torch.tensor([0, 1]))
    assert batch.shape == (2, 3, 8, 8) and batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("policy", "shape"), [("crop", (36, 72, 3)), ("squash", (36, 36, 3)), ("full", (36, 36, 3))]
)
def test_policies_decide_what_is_kept(policy: str, shape: tuple[int, ...]) -> None:
    image = np.zeros((72, 144, 3), np.uint8)
    image[:, :72] = 200
    fitted = fit(image, policy, 36, MEAN)  # type: ignore[arg-type]
    assert fitted.shape == shape
    if policy == "full":
        np.testing.assert_array_equal(fitted[0, 0], [128, 115, 102])  # a bar in the mean colour
        assert fitted[18, 2, 0] == 200 and fitted[18, 33, 0] == 0


def test_an_image_of_the_right_size_is_not_touched() -> None:
    image = patch(TINY["apples"], 1, 1)
    assert fit(image, "crop", 36, MEAN) is image


def test_loading_joins_splits_and_keeps_ids_and_labels(tiny: Path) -> None:
    with PackedFile(tiny) as packed:
        both = load_pool(packed, TINY["boats"], ("train", "val"), 32, 36)
        test = load_pool(packed, TINY["boats"], ("test",), 32, 36)
    assert len(both) == 33 and both.image_ids[0] == 20000001 and both.labels[6] == 1
    assert set(test.labels.tolist()) == {-1}


def test_a_missing_split_is_named(tiny: Path) -> None:
    with PackedFile(tiny) as packed, pytest.raises(DataError, match="no split 'extra' of boats"):
        load_pool(packed, TINY["boats"], ("extra",), 32, 36)


@pytest.mark.parametrize(
    ("size", "free", "home"),
    [(10, 80, "cuda"), (30, 80, "cuda"), (31, 80, "cpu"), (1, 50, "cpu"), (0, 10, "cpu")],
)
def test_a_gpu_keeps_half_of_its_memory_free_of_pixels(
    monkeypatch: pytest.MonkeyPatch, size: int, free: int, home: str
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 100))
    assert home_of(size, torch.device("cuda")).type == home
    assert home_of(size, torch.device("cpu")).type == "cpu"


def test_memory_that_torch_holds_idle_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (40, 100))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 50)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)
    assert home_of(20, torch.device("cuda")).type == "cuda" and home_of(21, torch.device("cuda")).type == "cpu"


def test_a_pool_that_does_not_fit_stays_in_host_memory_and_cuts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device stands in for a GPU and shows where tensors are; the pixels are compared before."""
    plain, images = ragged_pool()
    monkeypatch.setattr(pool_module, "home_of", lambda size, device: torch.device("cpu"))
    pool = ImagePool(TINY["apples"], images, torch.tensor([0, 1, 0]), [11, 12, 13], 8, "meta")
    assert (pool.home.type, pool.device.type, pool.labels.device.type) == ("cpu", "meta", "meta")
    index = torch.tensor([2, 0, 1])
    batch = pool.batch(index, seed=("run", 1))
    assert batch.device.type == "meta" and batch.shape == (3, 3, 8, 8)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    read: list[torch.Tensor] = []

    def watched(pool: ImagePool, where: torch.Tensor) -> torch.Tensor:
        read.append(where)
        return pool.pixels[where].to(pool.device)

    monkeypatch.setattr(ImagePool, "read", watched)
    for each in (plain, pool):
        each.batch(index, seed=("run", 1))
    assert torch.equal(read[0], read[1]) and torch.equal(plain.pixels, pool.pixels)
