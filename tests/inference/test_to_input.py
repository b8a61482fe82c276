"""An image file served: the pixels that packing made of the same file, and the same refusals."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from decathlon.data.domains import Packing
from decathlon.data.image_pool import load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.challenge.prepare import prepare
from decathlon.data_prep.custom.add import add
from decathlon.data_prep.custom.add_request import AddRequest
from decathlon.data_prep.inspection.export import ImageFormat
from decathlon.data_prep.inspection.export import export as export_images
from decathlon.data_prep.packing.pipeline import PackOptions
from decathlon.errors import DataError
from decathlon.inference.export import export
from decathlon.inference.network_file import description, to_input
from tests.helpers.runs import RECIPE, go

OPTIONS = {"upright": PackOptions(upright=True), "small": PackOptions(side=20), "large": PackOptions(enlarge=True)}


def smooth(width: int, height: int, channels: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return pixels that differ at every place and channel, not mirrored or turned equal to themselves."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x * (3 + c) + y * (7 - c)) % 256 for c in range(channels)]
    return np.stack(planes, -1).astype(np.uint8)


def image(mode: str, width: int = 130, height: int = 100) -> Image.Image:
    if mode in ("RGBA", "LA", "PA"):
        found = Image.fromarray(smooth(width, height, 4))
        return found if mode == "RGBA" else found.convert(mode)
    return Image.fromarray(smooth(width, height, 3)).convert(mode)


def saved(found: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    found.save(out, form, **options)
    return out.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x112] = orientation
    return saved(image("RGB"), "JPEG", exif=exif)


def drawn(mode: str, form: str) -> bytes:
    return saved(image(mode), form)


ZOO: dict[str, Callable[[], bytes]] = {
    **{f"turned {tag}.jpg": partial(turned, tag) for tag in range(1, 9)},
    **{f"{mode}.png": partial(drawn, mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")},
    **{f"{mode}.jpg": partial(drawn, mode, "JPEG") for mode in ("L", "RGB", "CMYK")},
    **{f"{mode}.ppm": partial(drawn, mode, "PPM") for mode in ("1", "L", "RGB")},
    "P clear.png": lambda: saved(image("P"), "PNG", transparency=bytes(range(200))),
    "L clear.png": lambda: saved(image("L"), "PNG", transparency=40),
    "RGB clear.png": lambda: saved(image("RGB"), "PNG", transparency=(3, 7, 0)),
    "small.png": lambda: saved(image("RGB", 22, 25), "PNG"),
    "long.png": lambda: saved(image("RGB", 640, 75), "PNG"),
    "photograph.jpg": lambda: saved(image("RGB", 640, 480), "JPEG"),
}


def opened(pages: int, form: str, **options: Any) -> Image.Image:
    """Return an open file of several pictures, or of a format that is not packed."""
    first, *others = [image("RGB", 40 + i, 40) for i in range(pages)]
    more = {"save_all": True, "append_images": [one.resize(first.size) for one in others]} if others else {}
    return Image.open(io.BytesIO(saved(first, form, **more, **options)))


REFUSED: dict[str, Callable[[], Image.Image]] = {
    "pixel mode I;16": lambda: Image.fromarray(smooth(40, 40, 1)[..., 0].astype(np.uint16) * 257),
    "aspect ratio": lambda: image("RGB", 330, 10),
    "pixel mode F": lambda: Image.fromarray(np.ones((40, 40), np.float32)),
    "holds several pictures": lambda: opened(2, "TIFF"),
    "compression group4": lambda: Image.open(io.BytesIO(saved(image("1"), "TIFF", compression="group4"))),
    "is not a JPEG, PNG": lambda: opened(1, "GIF"),
    "50,000,000 pixels": lambda: Image.new("L", (10_000, 5_001)),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    """By options of packing, the packed file of the zoo and the description of a network trained on it."""
    root = tmp_path_factory.mktemp("served")
    for number, (name, made) in enumerate(ZOO.items()):
        path = root / "zoo" / "ab"[number % 2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made())
    found = {}
    for name, options in OPTIONS.items():
        data = root / f"{name}.h5"
        add(data, AddRequest("zoo", root / "zoo", split="100/0"), options)
        run = go(data, root / f"run {name}", trunk="wrn-10-1", recipe=RECIPE.override({"epochs": 1}))
        export(run, "zoo", root / f"{name}.safetensors")
        found[name] = data, description(root / f"{name}.safetensors")
    return found


@pytest.mark.parametrize("options", OPTIONS)
def test_a_file_is_served_as_it_was_packed(
    served: dict[str, tuple[Path, dict[str, Any]]], tmp_path: Path, options: str
) -> None:
    data, about = served[options]
    with PackedFile(data) as packed:
        pool = load_pool(packed, packed.benchmark["zoo"], ("train",), 16, 18)
    names = sorted(ZOO, key=lambda name: ("ab"[list(ZOO).index(name) % 2], name))
    for name, expected in zip(names, pool.batch(torch.arange(len(pool))), strict=True):
        with Image.open(io.BytesIO(ZOO[name]())) as opened:
            assert torch.equal(to_input(opened, about), expected), name
            assert torch.equal(to_input(opened, about), expected), f"{name}, a second time"


@pytest.mark.parametrize("reason", REFUSED)
def test_what_packing_refuses_is_not_served(served: dict[str, tuple[Path, dict[str, Any]]], reason: str) -> None:
    with pytest.raises(DataError, match=f"the image .*{reason}"):
        to_input(REFUSED[reason](), served["upright"][1])


def test_a_file_that_is_cut_short_is_named(served: dict[str, tuple[Path, dict[str, Any]]], tmp_path: Path) -> None:
    data = ZOO["photograph.jpg"]()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with Image.open(tmp_path / "cut.jpg") as opened, pytest.raises(DataError, match="cut.jpg is a broken image"):
        to_input(opened, served["upright"][1])


def test_the_description_says_how_its_domain_was_packed(served: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    told = {name: about["input"]["packing"] for name, (_, about) in served.items()}
    assert told["upright"] == {"side": 72, "enlarge": False, "upright": True, "ground": "white"}
    assert told["small"] == {"side": 20, "enlarge": False, "upright": False, "ground": "white"}
    assert told["large"] == {"side": 72, "enlarge": True, "upright": False, "ground": "white"}


def test_a_network_of_an_earlier_release_is_served_as_before(
    served: dict[str, tuple[Path, dict[str, Any]]],
) -> None:
    about = json.loads(json.dumps(served["upright"][1]))
    del about["input"]["packing"]
    with Image.open(io.BytesIO(turned(6))) as opened:
        lying = to_input(opened, about)
        assert torch.equal(lying, to_input(Image.fromarray(np.asarray(opened)), about))
    with pytest.raises(DataError, match="the image has the pixel mode I;16. Convert it"):  # it was served all white
        to_input(REFUSED["pixel mode I;16"](), about)


def test_packed_domains_keep_how_they_were_packed(
    served: dict[str, tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    """Beside a new domain, and from images that were exported, which stand upright whatever `prepare` does."""
    data = tmp_path / "two.h5"
    data.write_bytes(served["upright"][0].read_bytes())
    add(data, AddRequest("other", served["upright"][0].parent / "zoo", split="100/0"), PackOptions(side=64))
    with PackedFile(data) as packed:
        told = {domain.name: domain.packing for domain in packed.benchmark}
        digest = packed.digest
        export_images(packed, (), tmp_path / "images", ImageFormat())
    assert told == {"zoo": Packing(72, upright=True), "other": Packing(64)}
    assert prepare(tmp_path / "images", tmp_path / "again.h5").digest == digest
    with PackedFile(tmp_path / "again.h5") as packed:
        assert {domain.name: domain.packing for domain in packed.benchmark} == told


@pytest.mark.parametrize(
    "wrong", [b"{}", b"{", b'{"side": 0, "enlarge": false, "upright": true, "ground": "white"}', b"\xff"]
)
def test_a_packed_file_with_another_note_of_how_it_was_packed_is_refused(
    served: dict[str, tuple[Path, dict[str, Any]]], tmp_path: Path, wrong: bytes
) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(served["upright"][0].read_bytes())
    with h5py.File(path, "r+") as file:
        file["zoo"].attrs["packing"] = np.bytes_(wrong)
    with pytest.raises(DataError, match=r"x\.h5:/zoo.*(damaged|JSON)"):
        PackedFile(path)
