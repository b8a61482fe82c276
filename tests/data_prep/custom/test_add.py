"""A data set of one's own added to a packed file: numbers, duplicates, what is refused, and nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from decathlon.cli.main import command
from decathlon.data.ground_truth import read_truth
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.custom import scan
from decathlon.data_prep.custom.add import Added, add
from decathlon.data_prep.custom.add_request import AddRequest
from decathlon.data_prep.packing.check import problems
from decathlon.data_prep.packing.extend import held
from decathlon.data_prep.packing.pipeline import PackOptions
from decathlon.errors import BusyError, DataError, UsageError
from decathlon.system.checksums import read_sealed
from tests.helpers.custom_sources import key, numbered, packed, pixels, write_table, write_tree
from tests.helpers.packs import TINY, digest_columns, write_pack

CLASSES = {"ants": 8, "bees": 8}
PROGRAM = [sys.executable, "-c", "from decathlon.cli.main import main; main()", "data", "add"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes of eight images."""
    write_tree(tmp_path / "set", numbered(CLASSES))
    return tmp_path / "set"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Where the packed file goes: a folder of its own, to see what else is left there."""
    return tmp_path / "out" / "own.h5"


def added(file: Path, source: Path, name: str = "mine", lines: list[str] | None = None, **wishes: Any) -> Added:
    how = PackOptions(workers=1, say=lambda line: (lines if lines is not None else []).append(line))
    return add(file, AddRequest(name, source, **wishes), how)


def left(file: Path) -> set[str]:
    """Return what stands where the packed file is or should be."""
    return {path.name for path in file.parent.iterdir()}


def splits(file: Path, domain: str = "mine") -> dict[str, int]:
    with PackedFile(file) as opened:
        return {split: opened.count(domain, split) for split in opened.splits(domain)}


def test_a_new_file_is_numbered_as_the_official_ones_and_after_them(tree: Path, own: Path) -> None:
    done = added(own, tree, flip=False, crop="full")
    with PackedFile(own) as file:
        (domain,) = file.benchmark
        ids = {split: file.read("mine", split).image_id.tolist() for split in file.splits("mine")}
        labels = {split: set(file.read("mine", split).label.tolist()) for split in file.splits("mine")}
        train = file.read("mine", "train").pixels.reshape(-1, 3) / 255
    assert (file.benchmark.name, file.benchmark.baseline, domain.index) == ("own", "", 11)
    assert [(c.id, c.name) for c in domain.categories] == [(110_000_001, "ants"), (110_000_002, "bees")]
    assert ids == {"train": [*range(110_200_001, 110_200_011)], "val": [110_200_011, 110_200_012],
                   "test": [*range(110_200_013, 110_200_017)]}  # fmt: skip
    assert labels == {"train": {0, 1}, "val": {0, 1}, "test": {-1}}
    assert (domain.flip, domain.crop, domain.baseline_error) == (False, "full", None)
    np.testing.assert_allclose(domain.mean, train.mean(0), atol=1e-9)
    np.testing.assert_allclose(domain.std, train.std(0), atol=1e-9)
    assert (done.prepared.images, done.elsewhere, problems(own)) == (16, (), [])
    assert left(own) == {"own.h5", "own-truth"}


def test_the_truth_is_what_the_scorer_reads(tree: Path, own: Path) -> None:
    done = added(own, tree)
    assert done.truth == own.parent / "own-truth" / "mine_test.json"
    (truth,) = read_truth(own.parent / "own-truth").domains
    with PackedFile(own) as file:
        assert [*truth.answers] == file.read("mine", "test").image_id.tolist()
        assert truth.categories == set(file.benchmark["mine"].category_ids)
    told = json.loads(done.truth.read_text())
    folders = [image["file_name"].split("/")[0] for image in told["images"]]
    assert sorted(folders) == ["ants", "ants", "bees", "bees"] and folders != sorted(folders)  # ids tell nothing
    assert [*truth.answers.values()] == [110_000_001 + (folder == "bees") for folder in folders]


def test_a_domain_stands_beside_those_of_a_file(tree: Path, own: Path) -> None:
    own.parent.mkdir()
    write_pack(own)
    with PackedFile(own) as file:
        before = {(d, s): digest_columns(file.read(d, s)) for d in TINY.names for s in file.splits(d)}
    done = added(own, tree)
    again = added(own, tree, "more", seed=1)
    assert done.elsewhere == ("apples", "boats", "towers") == again.elsewhere
    with PackedFile(own) as file:
        assert file.benchmark.names == (*TINY.names, "mine", "more")
        assert file.benchmark.name == "tiny" and tuple(file.benchmark)[:3] == TINY.domains
        assert [domain.index for domain in file.benchmark] == [1, 2, 3, 11, 12]
        assert {(d, s): digest_columns(file.read(d, s)) for d in TINY.names for s in file.splits(d)} == before
        first, second = file.read("mine", "train"), file.read("more", "train")
        assert not set(first.image_id.tolist()) & set(second.image_id.tolist())
    assert problems(own) == []


def test_the_file_is_the_same_whatever_the_order_on_disk_and_the_workers(tree: Path, own: Path) -> None:
    written = {path.relative_to(tree): path.read_bytes() for path in tree.rglob("*.png")}
    other = own.parent / "other" / "set"
    for name, data in reversed(written.items()):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_bytes(data)
    rows = [(str(name), name.parts[0]) for name in reversed(written)]
    table = write_table(tree / "list.csv", rows)
    digests = {
        added(own.parent / "a" / "own.h5", tree).prepared.digest,
        added(own.parent / "b" / "own.h5", other).prepared.digest,
        added(own.parent / "c" / "own.h5", table).prepared.digest,
        add(own.parent / "d" / "own.h5", AddRequest("mine", tree), PackOptions(workers=2)).prepared.digest,
    }
    assert len(digests) == 1
    assert added(own.parent / "e" / "own.h5", tree, seed=1).prepared.digest not in digests


@pytest.mark.parametrize(
    ("classes", "found"),
    [
        ({"a": 1}, {"train": 1}),
        ({"a": 20}, {"train": 12, "val": 3, "test": 5}),
        ({"a": 1, "b": 1}, {"train": 2}),
        ({"a": 2, "b": 3}, {"train": 2, "val": 1, "test": 2}),
    ],
)
def test_few_images_and_one_class(
    tmp_path: Path, own: Path, classes: dict[str, int], found: dict[str, int]
) -> None:
    write_tree(tmp_path / "set", numbered(classes))
    done = added(own, tmp_path / "set")
    assert splits(own) == found and problems(own) == []
    assert (done.truth is None) == ("test" not in found)
    assert left(own) == ({"own.h5", "own-truth"} if done.truth else {"own.h5"})


@pytest.mark.slow
def test_ten_thousand_classes(tmp_path: Path, own: Path) -> None:
    for label in range(10_000):
        folder = tmp_path / "set" / f"class {label}"
        folder.mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (2, 2), (label % 256, label // 256, i)).save(folder / f"{i}.ppm")
    begun = time.process_time()
    added(own, tmp_path / "set")
    assert time.process_time() - begun < 30
    assert splits(own) == {"train": 10_000, "val": 10_000, "test": 10_000}
    with PackedFile(own) as file:
        train, categories = file.read("mine", "train"), file.benchmark["mine"].categories
        assert sorted(train.label.tolist()) == [*range(10_000)]
        for i in (0, 17, 9_999):
            red, green, _ = train.image(i)[0, 0].tolist()
            assert categories[int(train.label[i])].name == f"class {red + 256 * green}"


def test_groups_stay_together(tmp_path: Path, own: Path) -> None:
    names = [f"{label}/{who}_{i}.png" for label in "ab" for who in ("eve", "ida", "tom", "kim") for i in range(3)]
    written = write_tree(tmp_path / "set", names)
    lines: list[str] = []
    done = added(own, tmp_path / "set", lines=lines, group=r"/(\w+?)_")
    assert done.truth is not None
    found = {image: split for split, image in packed(own, "mine", done.truth)}
    where = {who: {found[key(image)] for name, image in written.items() if who in name} for who in ("eve", "tom")}
    assert all(len(split) == 1 for split in where.values())
    assert "split 60/15/25 within every class, seed 0, 4 groups kept together" in lines
    added(own, tmp_path / "set", "control")
    alone = {image: split for split, image in packed(own, "control", own.parent / "own-truth/control_test.json")}
    assert len({alone[key(image)] for name, image in written.items() if "eve" in name}) > 1


@pytest.mark.parametrize(
    ("wishes", "error", "message"),
    [
        ({"group": "("}, UsageError, "--group ( is not a regular expression"),
        ({"group": "ant"}, UsageError, "--group matches nothing in 8 names of 16 (bees/000.png, bees/001.png"),
        ({"group": "x|(ant)"}, UsageError, "--group matches nothing in 8 names of 16"),
        ({"split": "50/60"}, UsageError, "adds up to 110 percent"),
        ({"split": ""}, UsageError, "Write whole percent"),
        ({"name": "svhn"}, UsageError, "svhn is one of the official ten"),
        ({"name": "benchmark"}, UsageError, "cannot be named 'benchmark'"),
        ({"name": "trunk"}, DataError, "'trunk' is not a valid domain name"),
        ({"name": "n" * 240}, DataError, "has 240 bytes, the limit is 180"),
        ({"name": "a/b"}, DataError, "'a/b' is not a valid domain name"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    tree: Path, own: Path, wishes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as refusal:
        added(own, tree, **{"name": "mine", **wishes})
    assert message in str(refusal.value)
    assert not own.exists()


def test_splits_of_the_data_set_win(tmp_path: Path, own: Path) -> None:
    write_tree(tmp_path / "set", ["train/a/1.png", "val/a/2.png", "val/b/3.png"])
    wishes: list[dict[str, Any]] = [{"split": "60/15/25"}, {"group": "."}]
    for wish in wishes:
        with pytest.raises(UsageError, match=f"already has splits, which are kept. Leave out --{[*wish][0]}"):
            added(own, tmp_path / "set", **wish)
    lines: list[str] = []
    done = added(own, tmp_path / "set", lines=lines)
    assert splits(own) == {"train": 1, "val": 2} and done.truth is None
    assert lines[:2] == [
        f"{tmp_path / 'set'} is an ImageFolder tree with train, val",
        "checking 3 images",
    ]
    assert "there is no test split" in lines
    assert "Warning: train has no image of 1 class: b; 1 image of other splits will be predicted wrong" in lines


GIVEN = ("train/a/1.png", "train/a/2.png", "train/b/3.png", "val/a/4.png", "val/b/5.png", "test/a/6.png")


def twins_in(root: Path) -> None:
    """Write GIVEN, with three images a second time: over two splits, over two classes, and within a split."""
    write_tree(root, GIVEN)
    again = pixels(5)  # that of test/a/6.png, in another format and with metadata
    Image.fromarray(again).save(root / "train/a/same.ppm")
    Image.fromarray(pixels(2)).save(root / "val/a/torn.png", dpi=(72, 72))
    Image.fromarray(pixels(0)).save(root / "train/a/twice.png")


def test_identical_images_are_reported(tmp_path: Path, own: Path) -> None:
    twins_in(tmp_path / "set")
    lines: list[str] = []
    added(own, tmp_path / "set", lines=lines)
    assert [line for line in lines if "identical images" in line] == [
        "Warning: identical images in more than one split, 2 times: test/a/6.png (test) = "
        "train/a/same.ppm (train), train/b/3.png (train) = val/a/torn.png (val); --drop-duplicates keeps one of "
        "each.",
        "Warning: identical images in more than one class, 1 time: train/b/3.png (train) = val/a/torn.png (val); "
        "correct the labels.",
        "identical images within a split: 1 beyond the first of each",
    ]
    assert splits(own) == {"train": 5, "val": 3, "test": 1}


def test_identical_images_are_dropped_when_asked_and_evaluation_keeps_its_own(tmp_path: Path, own: Path) -> None:
    twins_in(tmp_path / "set")
    lines: list[str] = []
    done = added(own, tmp_path / "set", lines=lines, drop_duplicates=True)
    assert "left out 3 images with the same pixels as another one" in lines
    assert (
        "Warning: kept one of each set of images with more than one class, 1 time: train/b/3.png = val/a/torn.png; "
        "correct the labels."
    ) in lines
    assert not [line for line in lines if "identical images" in line]
    assert splits(own) == {"train": 2, "val": 3, "test": 1} and done.truth is not None
    found = packed(own, "mine", done.truth)
    assert len(found) == 6 and ("test", key(pixels(5))) in found and ("val", key(pixels(2))) in found


def test_images_of_other_pixels_are_no_duplicates(tree: Path, own: Path) -> None:
    lines: list[str] = []
    added(own, tree, lines=lines, drop_duplicates=True)
    assert not [line for line in lines if "identical images" in line or "left out" in line]
    assert sum(splits(own).values()) == 16


def break_some(tree: Path, count: int) -> list[str]:
    """Cut images short; return their names."""
    paths = sorted(tree.rglob("*.png"))[:count]
    for path in paths:
        path.write_bytes(path.read_bytes()[:60])
    return [str(path.relative_to(tree)) for path in paths]


def test_a_class_named_by_a_page_is_refused_before_an_image_is_read(tree: Path, own: Path) -> None:
    table = write_table(tree / "x.csv", [("ants/000.png", "x" * 1001), ("bees/000.png", "bees")])
    with pytest.raises(DataError, match="the category name that begins with 'xxxxxxxxxxxxxxxxxxxx' has 1,001 char"):
        added(own, table, split="50/50")
    assert left(own) <= {".own.h5.lock"}


def test_broken_images_are_named_together_and_nothing_is_written(tree: Path, own: Path) -> None:
    names = break_some(tree, 12)
    with pytest.raises(DataError) as refusal:
        added(own, tree)
    head, *lines = str(refusal.value).splitlines()
    assert head.startswith(f"{tree}: 12 images of 16 cannot be used. Fix them, remove them, or leave them out with")
    assert [line.split()[0] for line in lines[:10]] == names[:10] and lines[10:] == ["  …"]
    assert left(own) == set()


def test_broken_images_are_left_out_when_asked(tree: Path, own: Path) -> None:
    (name,) = break_some(tree, 1)
    lines: list[str] = []
    added(own, tree, lines=lines, skip_broken=True)
    assert sum(splits(own).values()) == 15
    at = lines.index("Warning: left out 1 image that cannot be used:")
    assert lines[at + 1].startswith(f"  {name} is a broken image")
    break_some(tree, 16)
    with pytest.raises(DataError, match="has no usable image"):
        added(own, tree, "none", skip_broken=True)


def test_a_domain_is_replaced_only_by_force_and_gets_new_ids(tmp_path: Path, tree: Path, own: Path) -> None:
    added(own, tree)
    added(own, tree, "other")
    before, truth = own.read_bytes(), own.parent / "own-truth" / "mine_test.json"
    with pytest.raises(
        UsageError, match="own.h5 already has mine. Choose another --name, or add --force to pack it again"
    ):
        added(own, tree)
    assert own.read_bytes() == before
    write_tree(tmp_path / "set", ["cats/1.png", "cats/2.png"])
    added(own, tree, force=True)
    with PackedFile(own) as file:
        assert [(domain.name, domain.index) for domain in file.benchmark] == [("other", 12), ("mine", 13)]
        assert [category.name for category in file.benchmark["mine"].categories] == ["ants", "bees", "cats"]
    assert len(json.loads(truth.read_text())["images"]) == 5 and problems(own) == []
    added(own, tree, force=True, split="100/0")
    assert not truth.exists()


def test_labels_are_not_overwritten_by_accident(tree: Path, own: Path, tmp_path: Path) -> None:
    truth = tmp_path / "labels"
    truth.mkdir()
    (truth / "mine_test.json").write_text("precious")
    with pytest.raises(UsageError, match="mine_test.json already exists. Name another folder with --truth"):
        added(own, tree, truth=truth)
    assert (truth / "mine_test.json").read_text() == "precious" and not own.exists()
    assert added(own, tree, truth=truth / "new").truth == truth / "new" / "mine_test.json"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, OSError("disk"), DataError("bad")])
@pytest.mark.parametrize("there", [True, False])
def test_a_failure_leaves_the_file_as_it_was(
    tree: Path, own: Path, failure: BaseException | type[BaseException], there: bool
) -> None:
    own.parent.mkdir()
    before = write_pack(own).read_bytes() if there else None
    calls = iter(range(100))

    def progress(done: int, total: int) -> None:
        if next(calls) == 1:  # the images have been looked at, and some are packed
            raise failure

    with pytest.raises((KeyboardInterrupt, SystemExit, Exception)):
        add(own, AddRequest("mine", tree), PackOptions(workers=1, progress=progress))
    assert left(own) == ({"own.h5"} if there else set())
    if there:
        assert own.read_bytes() == before


def test_a_kill_leaves_the_file_as_it_was(tmp_path: Path, own: Path) -> None:
    write_tree(tmp_path / "set", numbered({"a": 200, "b": 200}))
    own.parent.mkdir()
    before = write_pack(own).read_bytes()
    process = subprocess.Popen([*PROGRAM, str(own), "--name", "mine", "--from", str(tmp_path / "set")], stderr=-3)
    while process.poll() is None and not list(own.parent.glob(".own.h5.*.part")):
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert own.read_bytes() == before or (problems(own) == [] and "mine" in PackedFile(own).benchmark.names)
    for part in own.parent.glob("**/*.part"):
        part.unlink()
    if process.returncode:  # a dead holder's lock is free
        added(own, tmp_path / "set")
        assert problems(own) == []


def test_a_second_process_is_turned_away(tree: Path, own: Path) -> None:
    with held(own):
        code = (
            "import sys\nfrom decathlon.cli.main import main\n"
            f"sys.argv = ['decathlon', 'data', 'add', {str(own)!r}, '--name', 'b', '--from', {str(tree)!r}]\nmain()"
        )
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert second.returncode == BusyError.exit_code
        assert second.stderr == (
            f"Error: {own} is being written by process {os.getpid()}. "
            "Wait until it ends or stop it, then try again.\n"
        )
        os.symlink(own, own.parent / "link.h5")  # another name of the same file
        linked = subprocess.run(
            [sys.executable, "-c", code.replace("own.h5", "link.h5")], capture_output=True, text=True
        )
        assert linked.returncode == BusyError.exit_code
        added(own, tree, "a")  # this process may
    added(own, tree, "b")
    with PackedFile(own) as file:
        assert file.benchmark.names == ("a", "b")


def test_images_that_change_meanwhile_are_an_error(tree: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from decathlon.data_prep.custom import assign_splits

    def changing(*args: Any) -> scan.Scan:
        found = scan.scan(*args)
        break_some(tree, 1)
        return found

    monkeypatch.setattr(assign_splits, "scan", changing)
    with pytest.raises(DataError, match="000.png is a broken image"):
        added(own, tree)
    assert left(own) == set()


def test_a_file_that_is_none_is_refused(tree: Path, own: Path) -> None:
    own.parent.mkdir()
    own.write_text("text")
    with pytest.raises(DataError, match="cannot open .*own.h5"):
        added(own, tree)
    assert own.read_text() == "text"


def test_the_command_says_what_it_did(tree: Path, own: Path) -> None:
    own.parent.mkdir()
    write_pack(own)
    words = ["data", "add", str(own), "--name", "mine", "--from", str(tree), "--no-flip", "--crop", "squash"]
    outcome = CliRunner().invoke(command, words, catch_exceptions=False)
    assert outcome.exit_code == 0
    head, _, *rows = (line.split() for line in outcome.stdout.splitlines()[1:] if line.strip())
    assert head == ["split", "images", "%", "classes", "fewest", "images", "per", "class", "most"]
    assert rows == [
        ["train", "10", "62.5", "2", "5", "5"],
        ["val", "2", "12.5", "2", "1", "1"],
        ["test", "4", "25.0", "2", "2", "2"],
        ["all", "16", "100.0", "2", "8", "8"],
    ]
    *lines, wrote, labels, others, following = outcome.stderr.splitlines()
    assert lines == [
        f"{tree} is an ImageFolder tree",
        "checking 16 images",
        "split 60/15/25 within every class, seed 0",
        f"packing 16 images of mine into {own}, next to apples, boats, towers",
        "verifying",
    ]
    assert wrote.startswith(f"added mine to {own}: 16 images in ") and "; digest " in wrote
    truth = own.parent / "own-truth" / "mine_test.json"
    assert labels == f"test labels, for 'decathlon score --truth': {truth}"
    assert others == "to score all domains together, put <domain>_test.json of apples, boats, towers there as well"
    assert following == f"Next: decathlon train --data {own} --recipe quick --method bn --trunk wrn-16-1 -o RUN"
    with PackedFile(own) as file:
        assert (file.benchmark["mine"].flip, file.benchmark["mine"].crop) == (False, "squash")


def test_photographs_stand_upright(tmp_path: Path, own: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6  # turned right to stand upright
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255
    for name in ("a/1.jpg", "b/2.jpg"):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "set" / name, quality=95, exif=tags)
    add(own, AddRequest("mine", tmp_path / "set", split="100/0"), PackOptions(upright=True))
    with PackedFile(own) as file:
        image = file.read("mine", "train").image(0)
    assert image.shape == (40, 20, 3) and image[5].min() > 200 and image[35].max() < 50


def test_images_nobody_here_can_read_are_named_not_left_out(tmp_path: Path, own: Path) -> None:
    write_tree(tmp_path / "set", ["a/1.png", "b/2.png"])
    (tmp_path / "set/a/phone.HEIC").write_bytes(b"ftypheic")
    with pytest.raises(DataError, match="phone.HEIC is not a JPEG, PNG, PPM, BMP, WEBP or TIFF image. Convert it"):
        added(own, tmp_path / "set")
    assert not own.exists()


def test_groups_that_fill_no_split_are_warned_of(tmp_path: Path, own: Path) -> None:
    write_tree(tmp_path / "set", [f"{name}/x_{i}.png" for name in "ab" for i in range(6)])
    lines: list[str] = []
    added(own, tmp_path / "set", lines=lines, group="^[^_]+")  # the class folder is part of it
    warnings = [line for line in lines if line.startswith("Warning: ")]
    assert len(warnings) >= 2 and any("split" in line or "has no image of" in line for line in warnings)


KAGGLE = [*(f"train/{label}/{i}.png" for label in ("cat", "dog") for i in range(4)), "test/b.png", "test/a.png"]


def test_test_images_without_labels_are_packed_and_named(tmp_path: Path, own: Path) -> None:
    written = write_tree(tmp_path / "set", KAGGLE)
    lines: list[str] = []
    done = added(own, tmp_path / "set", lines=lines)
    assert "2 test images without a class: they can be predicted, not scored" in lines
    assert not [line for line in lines if line.startswith("Warning") or "test has no image" in line]
    assert (done.truth, done.elsewhere) == (None, ()) and done.unlabelled is not None
    assert done.unlabelled == own.parent / "own-truth" / "mine_test_stripped.json"
    assert done.table.rows[-1] == ("test", 2, 20.0, 0, None, None)
    told = read_sealed(done.unlabelled, "")
    names = {image["id"]: image["file_name"] for image in told["images"]}
    assert told["annotations"] == [] and [each["name"] for each in told["categories"]] == ["cat", "dog"]
    with PackedFile(own) as file:
        test = file.read("mine", "test")
    assert test.label.tolist() == [-1, -1] and problems(own) == []
    for i, image in enumerate(test.image_id.tolist()):
        np.testing.assert_array_equal(test.image(i), written[names[image]])


def test_names_of_unlabelled_images_take_the_place_of_labels_and_the_reverse(tmp_path: Path, own: Path) -> None:
    write_tree(tmp_path / "bare", KAGGLE)
    labelled = tmp_path / "set"
    write_tree(labelled, [name.replace("test/", "test/cat/") for name in KAGGLE])
    folder = own.parent / "own-truth"
    added(own, tmp_path / "bare")
    with pytest.raises(UsageError, match="already has mine. Choose another --name, or add --force"):
        added(own, labelled)
    added(own, labelled, force=True)
    assert left(folder / "x") == {"mine_test.json"}
    added(own, tmp_path / "bare", force=True)
    assert left(folder / "x") == {"mine_test_stripped.json"}
    with pytest.raises(
        UsageError, match="mine_test_stripped.json already exists. Name another folder with --truth"
    ):
        added(own.parent / "b" / "own.h5", labelled, truth=folder)
    (folder / "mine_test_stripped.json").unlink()
    with pytest.raises(UsageError, match="mine_test.json with its test labels is missing"):
        added(own, tmp_path / "bare")
    assert added(own, labelled, "more").elsewhere == ("mine",)


def test_unlabelled_images_are_predicted_and_not_scored(tmp_path: Path, own: Path) -> None:
    def run(*words: object) -> str:
        done = CliRunner().invoke(command, list(map(str, words)), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    write_tree(tmp_path / "set", KAGGLE)
    names = own.parent / "own-truth" / "mine_test_stripped.json"
    packed = run("data", "add", own, "--name", "mine", "--from", tmp_path / "set", "--workers", 1)
    assert f"names of the test images, for the ids that are predicted: {names}\n" in packed
    options = "--method bn --trunk wrn-10-1 --recipe quick --epochs 1 --batch 4 --size 16".split()
    run("train", "--data", own, *options, "-o", tmp_path / "run")
    predicted = run("predict", tmp_path / "run", "--data", own, "--threads", 1)
    assert f"mine has no test labels to score with; {names} names its images by their ids" in predicted
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {row["image_id"] for row in results} == {
        image["id"] for image in json.loads(names.read_text())["images"]
    }
    with pytest.raises(DataError, match="own-truth holds no <domain>_test.json. Name the folder or zip with the"):
        run("score", tmp_path / "run", "--truth", names.parent)
    assert "mine_test_stripped.json" in run("verify", names.parent)
    assert "mine" in run("data", "info", own) and "mine" in run("data", "stats", own)


@pytest.mark.parametrize("ending", ["jpe", "JFIF", "webp", "bmp", "tif", "tiff", "pbm", "pnm", "apng"])
def test_every_name_of_a_format_that_is_read_is_taken(tmp_path: Path, own: Path, ending: str) -> None:
    forms = {"jpe": "JPEG", "JFIF": "JPEG", "tif": "TIFF", "pbm": "PPM", "pnm": "PPM", "apng": "PNG"}
    for number, label in enumerate("ab"):
        (tmp_path / "set" / label).mkdir(parents=True)
        path = tmp_path / "set" / label / f"1.{ending}"
        Image.fromarray(pixels(number)).save(path, forms.get(ending, ending.upper()))
    lines: list[str] = []
    added(own, tmp_path / "set", lines=lines)
    assert splits(own) == {"train": 2} and not [line for line in lines if "left out" in line]


@pytest.mark.parametrize("ending", ["gif", "heic", "svg", "dng", "tga"])
def test_every_picture_that_is_not_read_is_named(tmp_path: Path, own: Path, ending: str) -> None:
    write_tree(tmp_path / "set", ["a/1.png", "b/2.png"])
    (tmp_path / f"set/b/x.{ending}").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=f"b/x.{ending} is not a JPEG, PNG"):
        added(own, tmp_path / "set")


def test_a_class_that_is_left_out_is_a_warning(tmp_path: Path, own: Path) -> None:
    write_tree(tmp_path / "set", ["a/1.png", "b/2.png"])
    (tmp_path / "set/c").mkdir()
    (tmp_path / "set/c/1.xyz").write_text("x")
    lines: list[str] = []
    added(own, tmp_path / "set", lines=lines)
    assert "Warning: left out 1 class without images: c" in lines
