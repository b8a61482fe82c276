"""`decathlon data build`, as users run it: from originals to a packed file, truth and score."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from decathlon.cli.main import command
from decathlon.data.decoding import decode
from decathlon.data.ground_truth import read_truth
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.packing.check import problems
from decathlon.errors import DecathlonError, UsageError
from tests.conftest import outside
from tests.data_prep.originals.test_domains import classes, read
from tests.helpers import originals as stand_ins

PLAIN: dict[str, Callable[[Path], Path]] = {
    "aircraft": stand_ins.aircraft,
    "cifar100": stand_ins.cifar100,
    "daimlerpedcls": stand_ins.daimler,
    "dtd": stand_ins.dtd,
    "gtsrb": stand_ins.gtsrb,
    "imagenet12": stand_ins.imagenet12,
    "omniglot": stand_ins.omniglot,
    "ucf101": stand_ins.ucf101,
}
SIZES = {"daimlerpedcls": (144, 72), "omniglot": (72, 72), "cifar100": (72, 72), "ucf101": (72, 72)}


def run(*words: object) -> Result:
    done = CliRunner().invoke(command, ["data", "build", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.mark.parametrize("name", PLAIN)
def test_every_domain_is_packed_with_its_labels_ids_and_truth(name: str, tmp_path: Path) -> None:
    source, output, truth = PLAIN[name](tmp_path / "from"), tmp_path / "x.h5", tmp_path / "truth"
    done = run(name, "--from", source, "-o", output, "--truth", truth)
    assert f"added {name} to {output}" in done.stderr and "Note: " in done.stderr and problems(output) == []
    original, answers = read(name, source), read_truth(truth).domains[0]
    with PackedFile(output) as file:
        domain = file.benchmark[name]
        assert tuple(category.name for category in domain.categories) == original.names
        splits = {split: file.read(name, split) for split in file.splits(name)}
    assert set(splits) == {"train", "val", "test"} and set(splits["test"].label.tolist()) == {-1}
    packed = [answers.answers[image] for image in splits["test"].image_id.tolist()]
    known = {category.id: category.name for category in domain.categories}
    if original.test is not None:
        assert [known[category] for category in packed] == classes(original, original.test)
    everything = np.concatenate([split.label[split.label >= 0] for split in splits.values()])
    parts = [part for part in (original.train, original.val) if part is not None]
    expected = np.bincount(np.concatenate([part.labels for part in parts]), minlength=len(original.names))
    if original.test is None:  # it was drawn from the images for training
        expected -= np.bincount([domain.category_ids.index(c) for c in packed], minlength=len(original.names))
    assert np.array_equal(np.bincount(everything, minlength=len(original.names)), expected)
    for split in splits.values():
        assert min(split.height.min(), split.width.min()) == 72
        assert name not in SIZES or SIZES[name] == (split.height[0], split.width[0])


def test_small_images_are_enlarged_by_the_bicubic_filter(tmp_path: Path) -> None:
    source = stand_ins.cifar100(tmp_path)
    noise = np.random.default_rng(1).integers(0, 256, (3, 32, 32), np.uint8)
    (source / "test.bin").write_bytes(b"\0\3" + noise.tobytes())
    run("cifar100", "--from", source, "-o", tmp_path / "x.h5")
    run("cifar100", "--from", source, "-o", tmp_path / "small.h5", "--side", 24)
    upright = Image.fromarray(noise.transpose(1, 2, 0).copy())
    with PackedFile(tmp_path / "x.h5") as file, PackedFile(tmp_path / "small.h5") as small:
        large = np.asarray(upright.resize((72, 72), Image.Resampling.BICUBIC))
        assert np.array_equal(file.read("cifar100", "test").image(0), large)
        shrunk = np.asarray(upright.resize((24, 24), Image.Resampling.LANCZOS))
        assert np.array_equal(small.read("cifar100", "test").image(0), shrunk)
    unchanged = decode(np.asarray(upright), "noise", 72)  # as `data prepare` packs it
    assert unchanged.size == (32, 32)


def test_domains_join_one_file_and_are_scored_with_the_truth_beside(tmp_path: Path) -> None:
    output, truth = tmp_path / "two.h5", tmp_path / "truth"
    run("dtd", "--from", stand_ins.dtd(tmp_path), "-o", output, "--truth", truth)
    done = run("cifar100", "--from", stand_ins.cifar100(tmp_path), "-o", output, "--truth", truth)
    assert "next to dtd" in done.stderr
    answers = read_truth(truth)
    assert [domain.name for domain in answers.domains] == ["cifar100", "dtd"]
    rows = [
        {"image_id": image, "category_id": category}
        for domain in answers.domains
        for image, category in domain.answers.items()
    ]
    rows[0]["category_id"] = 20_000_005 if rows[0]["category_id"] != 20_000_005 else 20_000_001
    (tmp_path / "results.json").write_text(json.dumps(rows))
    words = ["score", str(tmp_path / "results.json"), "--truth", str(truth), "--partial"]
    scored = CliRunner().invoke(command, words)
    assert scored.exit_code == 0, scored.output
    assert "90.00" in scored.stdout and "100.00" in scored.stdout


def test_predictions_for_a_built_domain_are_not_scored_with_the_released_truth(tmp_path: Path) -> None:
    """The official images have other ids: else such a score would be a number without meaning."""
    with zipfile.ZipFile(outside("DECATHLON_TEST_LABELS", "data/decathlon-test-labels.zip")) as labels:
        released = labels.extract("dtd_test.json", tmp_path / "released")
    run("dtd", "--from", stand_ins.dtd(tmp_path), "-o", tmp_path / "x.h5", "--truth", tmp_path / "truth")
    rows = [
        {"image_id": image, "category_id": category}
        for image, category in read_truth(tmp_path / "truth").domains[0].answers.items()
    ]
    (tmp_path / "results.json").write_text(json.dumps(rows))
    words = ["score", str(tmp_path / "results.json"), "--truth", released, "--partial"]
    with pytest.raises(DecathlonError, match="results.json cannot be scored: it answers no test image of dtd"):
        CliRunner().invoke(command, words, catch_exceptions=False)


def test_building_again_gives_the_same_file(tmp_path: Path) -> None:
    source = stand_ins.omniglot(tmp_path / "from")
    for name in ("a", "b"):
        run("omniglot", "--from", source, "-o", tmp_path / name / "x.h5", "--workers", 1 + (name == "b"))
    with PackedFile(tmp_path / "a/x.h5") as one, PackedFile(tmp_path / "b/x.h5") as two:
        assert one.digest == two.digest


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    words = ("dtd", "--from", stand_ins.dtd(tmp_path), "-o", tmp_path / "x.h5", "--truth", tmp_path / "truth")
    run(*words)
    with pytest.raises(UsageError, match="already has dtd"):
        run(*words)
    (tmp_path / "x.h5").unlink()
    with pytest.raises(UsageError, match="dtd_test.json already exists"):
        run(*words)
    assert not (tmp_path / "x.h5").exists()
    run(*words, "--force")
    assert run(*words, "--force").exit_code == 0
