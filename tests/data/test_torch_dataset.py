"""PackedDomain: the promises of torchvision's data sets, over a packed file."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import decathlon
from decathlon import PackedDomain
from decathlon.data.domains import Benchmark, Category
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DataError, UsageError
from tests.helpers.packs import TINY, write_pack


def pixels(image: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(image.resize((8, 8)), np.int64))


def test_images_and_labels_are_those_of_the_file(tiny: Path) -> None:
    data = PackedDomain(tiny, "boats", "val")
    with PackedFile(tiny) as packed:
        stored = packed.read("boats", "val")
    assert len(data) == 9
    for i in range(len(data)):
        image, label = data[i]
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), stored.image(i))
        assert label == stored.label[i] == data.targets[i] and type(label) is int
    assert data.image_ids == stored.image_id.tolist()


def test_the_repr_is_that_of_torchvision(tiny: Path) -> None:
    data = PackedDomain(str(tiny), "boats")
    assert data.classes == ["boats-1", "boats-2", "boats-3", "boats-4", "boats-5"]
    assert data.class_to_idx == {name: i for i, name in enumerate(data.classes)}
    assert data.category_ids == TINY["boats"].category_ids
    assert (data.mean, data.std) == ((0.5, 0.45, 0.4), (0.25, 0.25, 0.25))
    assert set(PackedDomain(tiny, "boats", "test").targets) == {-1}


def test_transforms_get_image_and_label(tiny: Path) -> None:
    data = PackedDomain(tiny, "towers", transform=lambda image: image.size, target_transform=lambda label: -label)
    assert [data[i] for i in range(4)] == [((36, 72), 0), ((36, 72), -1), ((36, 72), -2), ((36, 72), 0)]


def test_an_index_counts_from_both_ends(tiny: Path) -> None:
    data = PackedDomain(tiny, "apples", transform=pixels)
    assert torch.equal(data[-1][0], data[23][0]) and torch.equal(data[-24][0], data[0][0])
    assert not torch.equal(data[0][0], data[2][0])
    read: Any = data  # without __iter__ Python counts up until the IndexError
    assert len([*read]) == 24
    for index in (np.int64(3), torch.tensor(3)):
        assert torch.equal(data[index][0], data[3][0])
    for outside in (24, -25):
        with pytest.raises(IndexError, match=f"apples/train has 24 images, none at {outside}"):
            data[outside]
    for wrong in (1.0, slice(2), "1"):
        with pytest.raises(TypeError):
            data[wrong]  # type: ignore[index]


def test_it_pickles_open_or_not(tiny: Path) -> None:
    data = PackedDomain(tiny, "boats", transform=pixels)
    for copy in (pickle.loads(pickle.dumps(data)), (data[0], pickle.loads(pickle.dumps(data)))[1]):
        assert copy.class_to_idx == data.class_to_idx and torch.equal(copy[5][0], data[5][0])


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of forking, since Python 3.12
@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_read_what_this_process_reads(tiny: Path, start: str) -> None:
    data = PackedDomain(tiny, "boats", transform=pixels)
    here = [data[i] for i in range(len(data))]  # the file is open before the workers begin
    loader = DataLoader(data, batch_size=5, num_workers=2, multiprocessing_context=start)
    for _ in range(2):
        images, labels = (torch.cat(parts) for parts in zip(*loader, strict=True))
        assert torch.equal(images, torch.stack([image for image, _ in here]))
        assert labels.tolist() == data.targets


def test_a_forked_process_opens_its_own_file(tiny: Path) -> None:
    data = PackedDomain(tiny, "boats", transform=pixels)
    before = data._packed()
    assert data._packed() is before
    data._file = (os.getpid() + 1, before)  # as after a fork
    assert data._packed() is not before


def test_it_reads_as_torchvisions_data_sets_do(tiny: Path) -> None:
    class Half:
        def __repr__(self) -> str:
            return "Half(\n    of=2\n)"

    assert repr(PackedDomain(tiny, "boats", "val", transform=Half())) == (  # type: ignore[arg-type]
        "Dataset PackedDomain\n"
        "    Number of datapoints: 9\n"
        f"    Root location: {tiny}\n"
        "    Domain: boats (5 classes)\n"
        "    Split: val\n"
        "    transform: Half(\n"
        "        of=2\n"
        "    )"
    )


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("crane", "owl"), ["crane", "owl"]),
        (("crane", "crane"), ["crane (10000001)", "crane (10000002)"]),
        (("crane (10000002)", "crane", "crane"), None),  # a name that ends in another's id
    ],
)
def test_classes_of_one_name_get_their_ids(
    tmp_path: Path, names: tuple[str, ...], classes: list[str] | None
) -> None:
    categories = tuple(Category(10**7 + 1 + i, name) for i, name in enumerate(names))
    domain = replace(TINY["apples"], categories=categories)
    data = PackedDomain(write_pack(tmp_path / "twice.h5", Benchmark("twice", (domain,))), "apples")
    assert classes is None or data.classes == classes
    assert len(data.class_to_idx) == len(names)
    for label, name in enumerate(data.classes):
        assert data.class_to_idx[name] == label and name.startswith("crane" if label == 0 else names[label])


def test_a_missing_domain_split_or_file_is_named(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown domain 'boat'. Did you mean boats"):
        PackedDomain(tiny, "boat")
    with pytest.raises(DataError, match="no split 'dev' of boats"):
        PackedDomain(tiny, "boats", "dev")
    with pytest.raises(DataError, match="no such file"):
        PackedDomain(tmp_path / "none.h5", "boats")


def test_another_file_under_the_same_name_is_refused(tmp_path: Path) -> None:
    path = write_pack(tmp_path / "tiny.h5")
    data = PackedDomain(path, "boats")
    write_pack(path, counts={"train": 25})
    with pytest.raises(DataError, match="has changed since the data set was made"):
        data[0]


def test_a_damaged_image_is_never_returned(tmp_path: Path) -> None:
    path = write_pack(tmp_path / "tiny.h5")
    data = PackedDomain(path, "boats")
    stored = np.asarray(data[0][0]).tobytes()
    data = pickle.loads(pickle.dumps(data))
    content = bytearray(path.read_bytes())
    content[content.index(stored) + 7] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="boats/train/pixels is damaged"):
        data[0]


def test_the_name_in_the_package_is_loaded_on_first_use() -> None:
    subprocess.run([sys.executable, "-c", "import sys, decathlon; assert 'torch' not in sys.modules"], check=True)
    with pytest.raises(AttributeError, match="no attribute 'PackedDomian'"):
        decathlon.PackedDomian  # noqa: B018
