"""Sheets of a packed file: the images shown, as stored and as training sees them, and the class histogram."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from decathlon.cli.main import command
from decathlon.config.recipe import Recipe
from decathlon.data.domains import Benchmark, Category
from decathlon.data.image_pool import fit
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.packing.pixel_statistics import measure
from decathlon.errors import DataError, UsageError
from decathlon.reports.data_sheets import SheetOptions, write_sheets
from decathlon.reports.figures import class_histogram, contact_sheet, domain_images, lettering
from decathlon.reports.figures.class_histogram import draw_classes
from decathlon.reports.figures.contact_sheet import LOW, Tile, draw, enlarged
from decathlon.reports.figures.domain_images import View, augmented, choose, contact
from decathlon.reports.figures.lettering import FONTS, REGULAR, font_of, readable, shortened, wrapped
from tests.helpers.marks import quickly
from tests.helpers.packs import TINY, tiny_domain, write_pack

KINDS = ("augmented", "classes", "test", "train", "val")


def run(*words: object) -> Result:
    return CliRunner().invoke(command, ["data", "show", *map(str, words)])


def read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_command_draws_and_lists_five_pictures_per_domain(tiny: Path, tmp_path: Path) -> None:
    done = run(tiny, "-o", tmp_path / "out", "--images", 10)
    assert done.exit_code == 0, done.output
    assert [*read(tmp_path / "out")] == [f"{name}-{kind}.png" for name in TINY.names for kind in KINDS]
    title, _, _, apples, *_ = done.stdout.splitlines()
    assert title == f"15 pictures in {tmp_path / 'out'}"
    assert apples.split()[:8] == ["apples", "2", "10", "of", "24", "9", "of", "9"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_equal_seeds_draw_equal_bytes(tiny: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        assert run(tiny, "boats", "-o", tmp_path / name, "--seed", seed, "--images", 5).exit_code == 0
    one, again, other = (read(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    changed = {name for name in one if one[name] != other[name]}
    assert changed == {f"boats-{kind}.png" for kind in KINDS if kind != "classes"}


def test_a_split_and_a_size_can_be_chosen(tiny: Path, tmp_path: Path) -> None:
    assert run(tiny, "boats", "--split", "val", "-o", tmp_path / "out", "--size", 16).exit_code == 0
    assert [*read(tmp_path / "out")] == ["boats-augmented.png", "boats-classes.png", "boats-val.png"]


def test_the_folder_is_named_after_the_file(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(tiny, "boats", "--images", 1).exit_code == 0
    assert len(read(tmp_path / "tiny-look")) == 5


def test_what_cannot_be_done_is_refused_and_leaves_nothing(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert isinstance(run(tiny, "-o", out).exception, UsageError) and not any(out.iterdir())
    out.rmdir()
    assert "Did you mean boats" in str(run(tiny, "boat", "-o", out).exception)
    assert "unknown recipe 'comon'" in str(run(tiny, "--recipe", "comon", "-o", out).exception)
    assert run(tiny, "--images", 0, "-o", out).exit_code == 2
    lacking = write_pack(tmp_path / "lacking.h5", counts={"train": 3})
    refusal = run(lacking, "--split", "val", "-o", out).exception
    assert isinstance(refusal, DataError) and "has no val split of apples. Choose another --split" in str(refusal)
    assert [path.name for path in tmp_path.iterdir()] == ["lacking.h5"]


def test_damage_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    path = write_pack(tmp_path / "tiny.h5")
    with PackedFile(path) as file:
        stored = file.read("apples", "train").image(0).tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(stored)] ^= 1
    path.write_bytes(content)
    refusal = run(path, "-o", tmp_path / "out").exception
    assert isinstance(refusal, DataError) and "apples/train/pixels is damaged" in str(refusal)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.h5"]


def test_only_the_images_that_are_shown_are_read(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    pixels = PackedFile.pixels

    def watched(self: PackedFile, domain: str, split: str, begin: int, end: int) -> npt.NDArray[np.uint8]:
        read.append(end - begin)
        return pixels(self, domain, split, begin, end)

    def never(*words: object) -> Any:
        raise AssertionError("a whole split is read")

    monkeypatch.setattr(PackedFile, "pixels", watched)
    monkeypatch.setattr(PackedFile, "read", never)
    monkeypatch.setattr(PackedFile, "images", never)
    monkeypatch.setattr(domain_images, "MEASURED", 4)
    result = run(tiny, "boats", "--images", 4, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.exception
    assert len(read) == 3 * 4 + 4 + 1  # sheets of three splits, four images measured, of which one is shown
    assert max(read) <= 36 * 48 * 3


def statistics(path: Path) -> Benchmark:
    with PackedFile(path) as file:
        moments = {name: measure(file, name) for name in file.benchmark.names}
    domains = (replace(domain, mean=moments[domain.name].mean, std=moments[domain.name].std) for domain in TINY)
    return replace(TINY, domains=tuple(domains))


def test_foreign_statistics_are_warned_of(tiny: Path, tmp_path: Path) -> None:
    own = statistics(tiny)
    wrong = replace(own["boats"], mean=(0.08, 0.08, 0.08), std=(0.27, 0.27, 0.27))  # those of omniglot
    mixed = replace(own, domains=(own["apples"], wrong, own["towers"]))
    one = run(write_pack(tmp_path / "one.h5", own), "-o", tmp_path / "one", "--images", 4)
    two = run(write_pack(tmp_path / "two.h5", mixed), "-o", tmp_path / "two", "--images", 4)
    assert one.exit_code == two.exit_code == 0 and "Warning" not in one.output
    assert [line for line in two.stdout.splitlines() if "Warning" in line] == [
        "Warning: boats does not look normalised by its own statistics. See 'decathlon data stats FILE.h5'."
    ]


def test_every_class_comes_once_before_any_comes_twice() -> None:
    labels = np.array([0] * 50 + [1] * 5 + [2] + [3] * 20, np.int32)
    four, ten = choose(labels, 4, (0,)), choose(labels, 10, (0,))
    assert labels[four].tolist() == [0, 1, 2, 3]
    assert labels[ten].tolist() == [0, 0, 0, 1, 1, 1, 2, 3, 3, 3]
    assert set(four) < set(ten) and ten == choose(labels, 10, (0,)) != choose(labels, 10, (1,))
    assert choose(labels, 500, (0,)) == [*range(76)]
    assert len(set(choose(np.arange(9, dtype=np.int32), 4, (0,)))) == 4
    assert choose(np.full(5, -1, np.int32), 5, (3,)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((72, 72), (144, 144)), ((36, 36), (144, 144)), ((72, 144), (144, 288)), ((168, 72), (336, 144)),
        ((422, 72), (422, 72)), ((100, 100), (100, 100)), ((1, 1), (144, 144)), ((1000, 500), (288, 144)),
        ((9000, 3), (432, 1)), ((2, 9000), (1, 288)),
    ],
)  # fmt: skip
def test_pictures_grow_by_whole_pixels_and_stay_within_a_row(size: tuple[int, int], shown: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    picture = enlarged(image)
    assert picture.size == shown
    if shown[0] % size[0] == 0:
        factor = shown[0] // size[0]
        np.testing.assert_array_equal(np.asarray(picture)[::factor, ::factor], np.asarray(image))


def test_a_sheet_shows_the_very_pixels_in_a_frame() -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (LOW, LOW, 3), np.uint8)
    sheet = np.asarray(
        Image.open(io.BytesIO(draw("title", ["note"], [Tile((Image.fromarray(pixels),), "a")] * 11)))
    )
    corners = [
        (y, x)
        for y, x in np.argwhere((sheet == pixels[0, 0]).all(-1))
        if np.array_equal(sheet[y : y + LOW, x : x + LOW], pixels)
    ]
    assert len(corners) == 11 and len({y for y, _ in corners}) == 2
    for y, x in corners:
        frame = (sheet[y - 1, x - 1 : x + LOW + 1], sheet[y + LOW, x - 1 : x + LOW + 1])
        assert all((line == (0xB8, 0xC0, 0xC8)).all() for line in frame)


def tiles_of(monkeypatch: pytest.MonkeyPatch) -> list[Tile]:
    """Return a list that collects the tiles of the next sheet."""
    caught: list[Tile] = []

    def catch(title: str, notes: list[str], tiles: list[Tile]) -> bytes:
        caught.extend(tiles)
        return b""

    monkeypatch.setattr(domain_images, "draw", catch)
    return caught


def test_captions_are_classes_or_ids_when_unknown(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = tiles_of(monkeypatch)
    with PackedFile(tiny) as file:
        for split in ("val", "test"):
            stored = file.read("boats", split)
            contact(View(file, TINY["boats"], split, stored.label, 0), 50)
            order = np.argsort(stored.label, kind="stable")
            captions = [
                f"boats-{stored.label[i] + 1}" if split == "val" else f"id {stored.image_id[i]}" for i in order
            ]
            assert [tile.caption for tile in tiles] == captions
            for tile, i in zip(tiles, order, strict=True):
                np.testing.assert_array_equal(np.asarray(tile.pictures[0])[::4, ::4], stored.image(i))
            tiles.clear()


@pytest.mark.parametrize(
    ("name", "recipe", "mirrored"),
    [
        ("apples", Recipe(size=32), True),
        ("boats", Recipe(size=32), False),
        ("towers", Recipe(size=24, side=30), True),
        ("apples", Recipe(size=32, flip=False, crop="full"), False),
    ],
)
def test_crops_are_windows_of_the_stored_image_mirrored_if_allowed(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, name: str, recipe: Recipe, mirrored: bool
) -> None:
    tiles = tiles_of(monkeypatch)
    facts, size, found = recipe.facts(TINY[name]), recipe.size, set()
    with PackedFile(tiny) as file:
        augmented(View(file, TINY[name], "train", file.column(name, "train", "label"), 0), 8, recipe)
    assert len(tiles) == 8
    for tile in tiles:
        stored, *cuts = (np.asarray(picture) for picture in tile.pictures)
        fitted = fit(stored[::4, ::4], facts.crop, recipe.resize, facts.mean)
        for cut in cuts:
            factor = len(cut) // size
            found |= {window(cut[::factor, ::factor], fitted)}
    assert len(cuts) == 3 and found == ({False, True} if mirrored else {False})


def window(cut: npt.NDArray[np.uint8], image: npt.NDArray[np.uint8]) -> bool | None:
    """Return whether the image holds a crop mirrored; None when it holds it in neither way."""
    size = len(cut)
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), (0, 1)).transpose(0, 1, 3, 4, 2)
    for mirrored, wanted in ((False, cut), (True, cut[:, ::-1])):
        if (windows == wanted).all((2, 3, 4)).any():
            return mirrored
    return None


def test_without_augmentation_the_centre_is_shown(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = tiles_of(monkeypatch)
    with PackedFile(tiny) as file:
        labels = file.column("apples", "train", "label")
        seen = augmented(View(file, TINY["apples"], "train", labels, 0), 2, Recipe(size=32, augment=False))
    for tile in tiles:
        stored, *cuts = (np.asarray(picture)[::4, ::4] for picture in tile.pictures)
        left = (stored.shape[1] - 32 + 1) // 2
        for cut in cuts:
            np.testing.assert_array_equal(cut, stored[2:34, left : left + 32])
    assert all(abs(mean) < 3 for mean in seen.mean) and all(std > 0 for std in seen.std)


def characters(text: str) -> float:
    return float(len(text))


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("short", ["short"]),
        ("Early_Aramaic_character07", ["Early_", "Aramaic_", "character07"]),
        ("two words", ["two words"]),
        ("a-b c/d " * 9, None),
        ("x" * 500, None),
        ("Donaudampfschifffahrt", ["Donaudampfsc", "hifffahrt"]),
    ],
)
def test_captions_break_where_words_end_and_keep_both_ends(name: str, lines: list[str] | None) -> None:
    found = wrapped(name, 12, characters, 3)
    assert len(found) <= 3 and all(0 < len(line) <= 12 for line in found)
    if lines is None:
        assert "…" in "".join(found) and found[0][0] == name[0] and found[-1][-1] == name.strip()[-1]
    else:
        assert found == lines


def test_names_are_cut_in_the_middle_to_a_length() -> None:
    assert shortened("abcdefgh", 8) == "abcdefgh"
    assert shortened("abcdefghi", 8) == "abcd…ghi" and shortened("abcdefghi", 1) == "…"


def test_names_without_letters_become_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_system_fonts", lambda: ())
    names = {"Ελληνικά": "Ελληνικά", "größe": "größe", "北京": "class 7", "": "class 7", " a\n\tb ": "a b"}
    assert {name: readable(Category(30000007, name)) for name in names} == names


def test_names_that_no_font_has_are_escaped_in_pictures_with_a_note(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lettering, "_system_fonts", lambda: ())
    benchmark = Benchmark("cats", (tiny_domain("猫", 1, 2), tiny_domain("größe", 2, 2)))
    drawn: list[str] = []
    real = lettering.lettered

    def watched(text: str) -> tuple[str, Path]:
        drawn.append(real(text)[0])
        return real(text)

    monkeypatch.setattr(lettering, "lettered", watched)
    monkeypatch.setattr(contact_sheet, "lettered", watched)
    with PackedFile(write_pack(tmp_path / "cats.h5", benchmark)) as packed, warnings.catch_warnings():
        warnings.simplefilter("error")  # of matplotlib, for every letter that it draws as an empty box
        _, notes = write_sheets(packed, (), tmp_path / "sheets", SheetOptions(images=2), lambda name: None)
    assert notes[0] == "No font on this machine has all letters: pictures show 猫 as \\u732b."
    assert "\\u732b, train" in drawn and "größe, train" in drawn and not any("猫" in text for text in drawn)
    assert (tmp_path / "sheets/猫-train.png").exists()


def test_a_font_of_the_system_helps_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken, other = tmp_path / "broken.ttf", FONTS / "STIXGeneral.ttf"
    broken.write_bytes(b"no font")
    letter = chr(min(lettering._letters(other) - lettering._letters(REGULAR)))
    monkeypatch.setattr(lettering, "_system_fonts", lambda: (broken,))
    assert font_of("plain") == REGULAR and font_of(letter) is None
    monkeypatch.setattr(lettering, "_system_fonts", lambda: (broken, other))
    assert font_of(letter) == other


@pytest.mark.parametrize("classes", quickly([1, 2, 40, 41, 120, 121, 1623], 1, 41, 1623))
def test_a_histogram_of_any_number_of_classes_is_a_picture_of_some_size(classes: int) -> None:
    labels = np.repeat(np.arange(classes, dtype=np.int32), 3)
    categories = tuple(Category(10**7 + 1 + k, f"$class_{k}$ {{") for k in range(classes))
    domain = replace(TINY["apples"], categories=categories)
    picture = draw_classes(domain, {"train": labels, "val": labels[::3], "test": np.full(5, -1, np.int32)})
    assert picture is not None
    width, height = Image.open(io.BytesIO(picture)).size
    assert 600 <= width <= 1600 and 150 <= height <= 1000


def test_a_histogram_needs_labels() -> None:
    assert draw_classes(TINY["apples"], {"test": np.full(5, -1, np.int32)}) is None


def test_the_most_frequent_class_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[list[int]] = []
    bars = class_histogram._bars

    def watched(domain: Any, counts: Any, order: Any) -> Any:
        orders.append(order.tolist())
        return bars(domain, counts, order)

    monkeypatch.setattr(class_histogram, "_bars", watched)
    draw_classes(TINY["boats"], {"train": np.array([4, 4, 1, 2], np.int32), "val": np.array([2, 2], np.int32)})
    assert orders == [[2, 4, 1, 0, 3]]


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        (None, "test: 1,200 images without labels"),
        ([600, 600], "test: 1,200 images, 600 per class"),
        ([0, 1200], "test: 1,200 images, 0 to 1,200 per class; 1 class has none"),
        ([0, 0, 1200], "test: 1,200 images, 0 to 1,200 per class; 2 classes have none"),
    ],
)
def test_the_legend_has_the_range_of_class_sizes(counts: list[int] | None, line: str) -> None:
    assert class_histogram.legend_label("test", 1200, None if counts is None else np.array(counts)) == line
