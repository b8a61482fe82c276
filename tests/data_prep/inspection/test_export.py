"""Packed domains as images again: the same pixels, labels and facts, and the same digest when packed anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from decathlon.cli.main import command
from decathlon.data.domains import Benchmark, Category
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.inspection.export import ImageFormat, export
from decathlon.errors import DataError, DecathlonError, UsageError
from decathlon.system.files import read_json
from tests.conftest import outside
from tests.helpers.challenge_sources import annotation_file
from tests.helpers.packs import TINY, write_pack


def run(*words: object) -> Result:
    return CliRunner().invoke(command, ["data", *map(str, words)], catch_exceptions=False)


def packed(source: Path, output: Path, *options: object) -> str:
    assert run("prepare", source, "-o", output, *options).exit_code == 0
    with PackedFile(output) as file:
        return file.digest


def annotation(folder: Path, name: str) -> Any:
    return read_json(folder / "annotations" / f"{name}.json")


def test_png_of_all_domains_packs_to_the_same_digest(source: Path, tmp_path: Path) -> None:
    digest = packed(source, tmp_path / "one.h5", "--name", "mine")
    done = run("export", tmp_path / "one.h5", "-o", tmp_path / "images")
    assert (done.exit_code, done.stdout) == (0, "")
    told, following = done.stderr.splitlines()
    assert told.startswith(f"wrote {tmp_path / 'images'}: 18 images of 2 domains, in ")
    assert following == f"Next: decathlon data prepare {tmp_path / 'images'} -o images.h5"
    assert packed(tmp_path / "images", tmp_path / "two.h5") == digest
    assert packed(source, tmp_path / "other.h5") != digest  # under another name


def test_files_lie_and_look_as_the_official_ones(tiny: Path, tmp_path: Path) -> None:
    with PackedFile(tiny) as file:
        export(file, ["boats"], tmp_path / "out", ImageFormat())
        stored = {split: file.read("boats", split) for split in ("train", "test")}
    train, test = annotation(tmp_path / "out", "boats_train"), annotation(tmp_path / "out", "boats_test_stripped")
    assert train["images"][6]["file_name"] == "data/boats/train/0002/000007.png"
    assert test["images"][6]["file_name"] == "data/boats/test/000007.png"
    assert test["annotations"] == [] and not (tmp_path / "out/annotations/boats_test.json").exists()
    assert train["categories"][1] == {"id": 20000002, "name": "boats-2", "supercategory": "boats"}
    assert train["annotations"][6]["category_id"] == 20000002
    assert train["annotations"][6]["image_id"] == train["images"][6]["id"] == stored["train"].image_id[6]
    for split, told in (("train", train), ("test", test)):
        for i, entry in enumerate(told["images"]):
            with Image.open(tmp_path / "out" / entry["file_name"]) as image:
                assert image.size == (entry["width"], entry["height"])
                np.testing.assert_array_equal(np.asarray(image), stored[split].image(i))


def test_one_domain_takes_its_facts_with_it(tiny: Path, tmp_path: Path) -> None:
    with PackedFile(tiny) as file:
        done = export(file, ["towers", "boats", "towers"], tmp_path / "out", ImageFormat())
        digest = file.split_digest("towers", "val")
    assert (done.domains, done.images, done.side) == (("boats", "towers"), 90, 36)
    assert Benchmark.from_json(read_json(tmp_path / "out/benchmark.json"), "").names == ("boats", "towers")
    packed(tmp_path / "out", tmp_path / "two.h5")
    with PackedFile(tmp_path / "two.h5") as file:
        assert file.benchmark.content() == replace(TINY, domains=TINY.domains[1:])
        assert file.split_digest("towers", "val") == digest


def test_names_that_could_not_be_folders_and_names_with_spaces(tmp_path: Path) -> None:
    names = ("F/A-18", "../../x", "北京", "", 'a"b\\c\n')
    categories = tuple(Category(2 * 10**7 + 1 + i, name) for i, name in enumerate(names))
    domain = replace(TINY["boats"], name="my boats", categories=categories)
    path = write_pack(tmp_path / "one.h5", Benchmark("odd", (domain,)))
    with PackedFile(path) as file:
        export(file, [], tmp_path / "out", ImageFormat())
        digest = file.digest
    assert packed(tmp_path / "out", tmp_path / "two.h5") == digest
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["one.h5", "out", "two.h5"]


def test_a_test_split_with_labels_keeps_them(source: Path, tmp_path: Path) -> None:
    path = annotation_file(source, "apples", "test")
    told = json.loads(path.read_text())
    told["annotations"] = [{"image_id": entry["id"], "category_id": 10**7 + 2} for entry in told["images"]]
    path.write_text(json.dumps(told))
    digest = packed(source, tmp_path / "one.h5")
    assert run("export", tmp_path / "one.h5", "-o", tmp_path / "out").exit_code == 0
    truth = annotation(tmp_path / "out", "apples_test")
    assert truth == annotation(tmp_path / "out", "apples_test_stripped")
    assert {entry["category_id"] for entry in truth["annotations"]} == {10**7 + 2}
    assert packed(tmp_path / "out", tmp_path / "two.h5") == digest


def test_grey_images_become_files_of_one_channel(source: Path, tmp_path: Path) -> None:
    for file in (source / "data/apples/train").iterdir():
        with Image.open(file) as image:
            image.convert("L").save(file)
    digest = packed(source, tmp_path / "one.h5")
    run("export", tmp_path / "one.h5", "-o", tmp_path / "out")
    for split, mode in (("train", "L"), ("val", "RGB")):
        for file in (tmp_path / f"out/data/apples/{split}").rglob("*.png"):
            with Image.open(file) as image:
                assert image.mode == mode
    assert packed(tmp_path / "out", tmp_path / "two.h5") == digest


def test_jpg_is_near_and_smaller_at_less_quality(tiny: Path, tmp_path: Path) -> None:
    sizes = []
    for quality in (95, 30):
        out = tmp_path / str(quality)
        done = run("export", tiny, "apples", "-o", out, "--format", "jpg", "--quality", quality)
        assert "jpg changes the pixels" in done.stderr
        sizes.append(sum(file.stat().st_size for file in out.rglob("*.jpg")))
    assert sizes[1] < sizes[0] / 2
    packed(tmp_path / "95", tmp_path / "jpg.h5")
    with PackedFile(tiny) as file, PackedFile(tmp_path / "jpg.h5") as other:
        one, two = file.read("apples", "train"), other.read("apples", "train")
    for column in ("label", "image_id", "height", "width"):
        np.testing.assert_array_equal(getattr(one, column), getattr(two, column))
    error = np.abs(one.pixels.astype(int) - two.pixels).mean()
    assert 0 < error < 20  # of noise of deviation 25, whose colour jpg keeps at half the resolution


def test_larger_images_need_their_side_told(tmp_path: Path) -> None:
    folder = tmp_path / "large"
    with PackedFile(write_pack(tmp_path / "one.h5")) as file:
        export(file, ["apples"], folder, ImageFormat())
    for file_name in (folder / "data").rglob("*.png"):
        with Image.open(file_name) as image:
            image.resize((image.width * 3, image.height * 3)).save(file_name)
    digest = packed(folder, tmp_path / "large.h5", "--side", 200)
    done = run("export", tmp_path / "large.h5", "-o", tmp_path / "out")
    assert done.stderr.splitlines()[-1].endswith(" -o out.h5 --side 108")
    assert packed(tmp_path / "out", tmp_path / "again.h5", "--side", 108) == digest
    assert packed(tmp_path / "out", tmp_path / "small.h5") != digest


def test_progress_reaches_the_end(tiny: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with PackedFile(tiny) as file:
        export(
            file,
            ["apples"],
            tmp_path / "out",
            ImageFormat(),
            progress=lambda done, total: told.append((done, total)),
        )
    assert told[-1] == (45, 45) and told == sorted(told)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_nothing(tiny: Path, tmp_path: Path, interrupt: type[BaseException]) -> None:
    def progress(done: int, total: int) -> None:
        raise interrupt

    with PackedFile(tiny) as file, pytest.raises(interrupt):
        export(file, [], tmp_path / "out", ImageFormat(), progress=progress)
    assert list(tmp_path.iterdir()) == []


def test_damage_ends_the_work_and_leaves_nothing(tmp_path: Path) -> None:
    path = write_pack(tmp_path / "tiny.h5")
    with PackedFile(path) as file:
        stored = file.read("towers", "test").image(3).tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(stored)] ^= 4
    path.write_bytes(content)
    with PackedFile(path) as file, pytest.raises(DataError, match="towers/test/pixels is damaged"):
        export(file, [], tmp_path / "out", ImageFormat())
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_done_is_one_sentence(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    with PackedFile(tiny) as file:
        with pytest.raises(UsageError, match="there already exists"):
            export(file, [], tmp_path / "there", ImageFormat())
        with pytest.raises(UsageError, match="unknown domain 'boat'. Did you mean boats"):
            export(file, ["boat"], tmp_path / "out", ImageFormat())
        with pytest.raises(DecathlonError, match=r"cannot write .*out \(File exists\). Choose another place"):
            export(file, [], tmp_path / "file" / "out", ImageFormat())
    refusal = run("export", tiny, "-o", tmp_path / "out", "--quality", 90)
    assert refusal.exit_code == 2 and "png has no quality. Leave out --quality" in refusal.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "there"]


def test_images_without_a_label_are_told_of(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    column = PackedFile.column

    def some_unknown(self: PackedFile, domain: str, split: str, name: str) -> Any:
        values = column(self, domain, split, name)
        return np.where(np.arange(len(values)) < 3, -1, values) if (split, name) == ("train", "label") else values

    monkeypatch.setattr(PackedFile, "column", some_unknown)
    said: list[str] = []
    with PackedFile(tiny) as file:
        export(file, ["apples"], tmp_path / "out", ImageFormat(), said.append)
    assert [line.split(":")[0] for line in said] == ["Warning"]
    assert "apples/train has 3 images without a label" in said[0]
    assert len(annotation(tmp_path / "out", "apples_train")["annotations"]) == 21


@pytest.mark.slow
def test_ten_real_domains_come_back_to_the_bit(tmp_path: Path) -> None:
    digest = packed(outside("DECATHLON_MINI", "data/mini.tar.gz"), tmp_path / "one.h5")
    assert run("export", tmp_path / "one.h5", "-o", tmp_path / "out").exit_code == 0
    assert packed(tmp_path / "out", tmp_path / "two.h5") == digest
