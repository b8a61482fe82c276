"""From a source to a packed file and back: pixels, labels, facts, digests, and nothing left behind."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from decathlon.cli.main import command
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.challenge.prepare import prepare
from decathlon.data_prep.packing.check import problems
from decathlon.data_prep.packing.pipeline import PackOptions
from decathlon.errors import DataError, DecathlonError, UsageError
from tests.conftest import outside
from tests.helpers.challenge_sources import annotation_file, archive
from tests.helpers.packs import digest_columns

COMMAND = [sys.executable, "-c", "from decathlon.cli.main import main; main()", "data", "prepare"]


def test_what_is_read_is_what_pillow_decodes(source: Path, output: Path) -> None:
    prepare([source], output)
    with PackedFile(output) as file:
        train, test = file.read("apples", "train"), file.read("apples", "test")
        assert (file.benchmark.name, file.benchmark.names) == ("tiny", ("apples", "boats"))
        assert file.splits("boats") == ("train", "test")
        assert file.split_digest("apples", "train") == digest_columns(train)
    for i in range(6):
        expected = np.asarray(Image.open(source / f"data/apples/train/{i + 1:06d}.png").convert("RGB"))
        np.testing.assert_array_equal(train.image(i), expected)
    assert train.label.tolist() == [0, 1, 2, 0, 1, 2]
    assert train.height.tolist() == [5, 6, 7, 8, 9, 10]
    assert train.width.tolist() == [9, 8, 7, 6, 9, 8]
    assert train.image_id.tolist() == list(range(10200001, 10200007))
    assert test.label.tolist() == [-1] * 4


def test_large_images_are_shrunk_to_the_side(source: Path, output: Path) -> None:
    prepare([source], output, PackOptions(side=6))
    with PackedFile(output) as file:
        train = file.read("apples", "train")
    assert np.minimum(train.height, train.width).tolist() == [5, 6, 6, 6, 6, 6]
    assert len(train.pixels) == train.offset[-1] == (3 * train.height.astype(int) * train.width).sum()


def test_the_digest_is_the_same_from_folder_and_archive_for_any_workers(tmp_path: Path, source: Path) -> None:
    packed = archive(source, tmp_path / "tiny.tar.gz")
    digests = {
        prepare([source], tmp_path / "1.h5", PackOptions(workers=1)).digest,
        prepare([source], tmp_path / "2.h5", PackOptions(workers=2)).digest,
        prepare([packed], tmp_path / "3.h5", PackOptions(workers=1)).digest,
    }
    assert len(digests) == 1
    assert prepare([source], tmp_path / "4.h5", name="other").digest not in digests


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "000002.png does not exist. Restore the file or remove it"),
        (lambda path: path.write_bytes(path.read_bytes()[:90]), "000002.png is a broken image"),
        (lambda path: path.write_text("text"), "000002.png is not a JPEG, PNG, PPM, BMP, WEBP or TIFF image"),
        (lambda path: (path.unlink(), path.mkdir()), "000002.png cannot be read"),
    ],
)
def test_a_bad_image_is_named_with_its_annotations(
    source: Path, output: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(source / "data/boats/train/000002.png")
    with pytest.raises(DataError) as refusal:
        prepare([source], output)
    assert str(refusal.value).startswith("annotations/boats_train.json: data/boats/train/")
    assert message in str(refusal.value)
    assert list(output.parent.iterdir()) == []


def test_a_bad_image_is_named_by_worker_processes_too(source: Path, output: Path) -> None:
    (source / "data/boats/train/000002.png").unlink()
    with pytest.raises(
        DataError, match="^annotations/boats_train.json: data/boats/train/000002.png does not exist"
    ):
        prepare([source], output, PackOptions(workers=2))
    assert list(output.parent.iterdir()) == []


def test_an_existing_output_is_kept_unless_forced(source: Path, output: Path) -> None:
    prepare([source], output, name="mine")
    before = output.read_bytes()
    with pytest.raises(UsageError, match="already exists. Choose another name or add --force"):
        prepare([source], output)
    assert output.read_bytes() == before
    prepare([source], output, force=True)
    assert problems(output) == [] and output.read_bytes() != before


def test_force_replaces_packed_files_alone(source: Path, output: Path, tmp_path: Path) -> None:
    output.parent.mkdir()
    output.write_text("a thesis")
    os.mkfifo(tmp_path / "pipe")
    packed = archive(source, tmp_path / "tiny.tar")
    for path, message in (
        (output, "is not a packed file, and --force replaces only those"),
        (tmp_path / "pipe", "is not a packed file"),
        (output.parent, "is a folder. Name a file in it"),
        (packed, "is one of the sources. Write to another file"),
    ):
        with pytest.raises(UsageError, match=message):
            prepare([packed], path, force=True)
    assert output.read_text() == "a thesis" and packed.stat().st_size > 10_000


def test_a_link_to_a_packed_file_stays_one(source: Path, output: Path, tmp_path: Path) -> None:
    prepare([source], output, name="old")
    link = tmp_path / "link.h5"
    link.symlink_to(output)
    prepare([source], link, name="new", force=True)
    with PackedFile(output) as file:
        assert link.is_symlink() and file.benchmark.name == "new"


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(
    source: Path, output: Path
) -> None:
    output.parent.mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old, living = (
        output.parent / f".tiny.h5.abc.{process}@{socket.gethostname()}.part"
        for process in (dead.pid, os.getppid())
    )
    for path in (old, living):
        path.write_text("half")
    prepare([source], output)
    assert sorted(path.name for path in output.parent.iterdir()) == sorted([living.name, "tiny.h5"])


def test_a_failed_replacement_keeps_the_old_file(source: Path, output: Path) -> None:
    prepare([source], output)
    before = output.read_bytes()
    (source / "data/boats/test/000001.png").unlink()
    with pytest.raises(DataError):
        prepare([source], output, force=True)
    assert output.read_bytes() == before


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_nothing(
    tmp_path: Path, source: Path, output: Path, interrupt: type[BaseException]
) -> None:
    def progress(done: int, total: int) -> None:
        raise interrupt

    before = threading.active_count()
    with pytest.raises(interrupt):
        prepare([archive(source, tmp_path / "a.tar")], output, PackOptions(workers=2, progress=progress))
    assert list(output.parent.iterdir()) == []
    assert threading.active_count() == before


def test_a_kill_leaves_no_output_and_the_next_run_succeeds(source: Path, output: Path) -> None:
    process = subprocess.Popen([*COMMAND, str(source), "-o", str(output), "--workers", "2"])
    while process.poll() is None and not output.parent.exists():
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert not output.exists()
    prepare([source], output)
    assert problems(output) == []


@pytest.mark.parametrize("kilobytes", [1, 8, 20])
def test_a_full_disk_is_one_sentence_and_no_crash(source: Path, output: Path, kilobytes: int) -> None:
    limit = kilobytes << 10
    outcome = subprocess.run(
        [*COMMAND, str(source), "-o", str(output)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == DecathlonError.exit_code
    assert outcome.stderr.splitlines()[1] == (
        f"Error: cannot write {output} (File too large). Free some space or choose another place."
    )
    assert list(output.parent.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_one_sentence(source: Path, output: Path) -> None:
    output.parent.mkdir(mode=0o500)
    with pytest.raises(DecathlonError, match="cannot write .*. Choose another place, or get the right"):
        prepare([source], output)


def test_the_command_writes_only_to_standard_error(source: Path, output: Path) -> None:
    annotation_file(source, "boats", "test").rename(source / "annotations/boats_test.json")
    outcome = CliRunner().invoke(
        command, ["data", "prepare", str(source), "-o", str(output), "--name", "mine"], catch_exceptions=False
    )
    warning, begin, verify, end, following = outcome.stderr.splitlines()
    assert (outcome.exit_code, outcome.stdout) == (0, "")
    assert warning.startswith("Warning: boats: the test split is left out")
    assert begin == f"packing 16 images of 2 domains from {source}"
    assert verify == "verifying"
    assert end.startswith(f"wrote {output}: 16 images, ") and "; digest " in end
    assert following == f"Next: decathlon data info {output}"


MINI = {
    "aircraft": (331, 83, 138), "cifar100": (957, 240, 400), "daimlerpedcls": (720, 180, 300),
    "dtd": (540, 130, 230), "gtsrb": (800, 240, 400), "imagenet12": (1120, 280, 450), "omniglot": (840, 210, 350),
    "svhn": (531, 133, 221), "ucf101": (924, 238, 378), "vgg-flowers": (815, 204, 339),
}  # fmt: skip


@pytest.mark.slow
def test_real_images_of_ten_domains(output: Path) -> None:
    """Counts are those of the table in the README inside."""
    prepare([outside("DECATHLON_MINI", "data/mini.tar.gz")], output)
    with PackedFile(output) as file:
        counts = {
            name: tuple(file.count(name, split) for split in ("train", "val", "test"))
            for name in file.benchmark.names
        }
        flips = [domain.name for domain in file.benchmark if not domain.flip]
        assert all(domain.baseline_error is None for domain in file.benchmark)
    assert counts == MINI
    assert flips == ["gtsrb", "omniglot", "svhn"]
