"""What the machine refuses in training, prediction and export: one sentence, nothing lost, nothing left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from decathlon.cli import _failures
from decathlon.cli.main import main
from decathlon.data.image_pool import load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.errors import ResourceError, UsageError
from decathlon.experiments.resume import resume
from decathlon.inference import evaluate, predict
from decathlon.runs.run_directory import Run
from decathlon.scoring.results import protocol_path, write_results
from decathlon.system import device
from decathlon.system.files import replacing, write_bytes
from decathlon.system.progress import TrainingProgress
from decathlon.system.resources import lacks_memory, memory_for, out_of_memory
from decathlon.system.tensor_files import write_tensors
from decathlon.training import loop
from decathlon.training.trainer import Trainer
from tests.helpers.machine import decathlon, refused
from tests.helpers.marks import quickly, slow
from tests.helpers.runs import digests, go

OPTIONS = "--method bn --trunk wrn-10-1 --epochs 3 --batch 8 --size 16 --lr 0.05 --precision fp32".split()
OPTIONS += ["--recipe", "sgd"]
CUDA = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 139.80 GiB"
CPU = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4194304000 bytes. Error code 12"
FREE = "or end other programs that hold memory, then continue with: decathlon train --resume -o "


@pytest.fixture(scope="module")
def done(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing disturbed; tests only read it."""
    return go(tiny, tmp_path_factory.mktemp("done") / "run")


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[Any, str]:
    """Run the command in this process; return its exit code and the last line it said."""
    monkeypatch.setattr(sys, "argv", ["decathlon", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code, capsys.readouterr().err.splitlines()[-1]


def failing(error: BaseException, at: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that raises an error when it is called for the time `at`, counted from 0."""
    calls = iter(range(10**6))

    def patched(*args: Any, **options: Any) -> Any:
        if next(calls) == at:
            raise error
        return real(*args, **options)

    return patched


@pytest.mark.parametrize(
    ("error", "told"),
    [(torch.OutOfMemoryError(CUDA), "GPU memory with --batch 8 (20.00 MiB more wanted)"),
     slow(RuntimeError("CUDA error: out of memory"), "GPU memory with --batch 8"),
     slow(RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "GPU memory with --batch 8"),
     slow(RuntimeError(CPU), "memory with --batch 8 (4,000.0 MiB more wanted)"),
     (MemoryError(), "memory with --batch 8")],
)  # fmt: skip
def test_out_of_memory_in_a_step_keeps_the_checkpoint_and_resumes_to_the_same_bits(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], done: Run,
    error: Exception, told: str,
) -> None:  # fmt: skip
    run = Run(tmp_path / "run")
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "advance", failing(error, 10, Trainer.advance))
        code, said = command(patched, capsys, "train", "--data", tiny, *OPTIONS, "-o", run.folder)
    remedy = f"Try --batch 4 or a smaller --size under another name; {FREE}"
    assert (code, said) == (1, f"Error: out of {told}. {remedy}{run.folder}")
    assert run.checkpoint.exists() and run.read().status == "running"
    resume(run.folder, None, TrainingProgress())  # the lock is free
    assert digests(run) == digests(done)


def test_out_of_memory_while_loading_and_validating(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], done: Run
) -> None:
    words = ("train", "--data", tiny, *OPTIONS, "-o", tmp_path / "run")
    wanted = np._core._exceptions._ArrayMemoryError((1 << 30,), np.dtype(np.uint8))  # type: ignore[attr-defined]
    with monkeypatch.context() as patched:
        patched.setattr(loop, "load_pool", failing(wanted, 2, load_pool))
        code, said = command(patched, capsys, *words)
    assert code == 1 and said.startswith(
        "Error: out of memory for the images (1.00 GiB more wanted). Train fewer domains at a time, or all at a "
    )
    with monkeypatch.context() as patched:
        patched.setattr("decathlon.training.loop.evaluate", failing(RuntimeError(CPU), 0, evaluate.evaluate))
        code, said = command(patched, capsys, "train", "--resume", "-o", tmp_path / "run")
    assert code == 1 and said.startswith("Error: out of memory with --batch 8 (4,000.0 MiB more wanted). Try")
    resume(tmp_path / "run", None, TrainingProgress())
    assert digests(Run(tmp_path / "run")) == digests(done)


def test_a_group_goes_on_after_a_lack_of_memory(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], done: Run
) -> None:
    group = tmp_path / "group"
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "advance", failing(MemoryError(), 10, Trainer.advance))
        code, said = command(patched, capsys, "train", "--data", tiny, *OPTIONS, "--seeds", 2, "-o", group)
    assert code == 1 and said.endswith(f"continue with: decathlon train --resume -o {group}")
    assert command(monkeypatch, capsys, "train", "--resume", "-o", group)[0] == 0
    assert digests(Run(group / "seed-0")) == digests(done)


@pytest.mark.parametrize(("batch", "smaller"), [(256, 64), (2, 1)])
def test_out_of_memory_in_prediction(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], done: Run,
    batch: int, smaller: int,
) -> None:  # fmt: skip
    words = ("predict", done.folder, "--data", tiny, "-o", tmp_path / "results.json", "--batch", batch)
    with monkeypatch.context() as patched:
        patched.setattr(predict, "predict", failing(torch.OutOfMemoryError(CUDA), 1, evaluate.predict))
        code, said = command(patched, capsys, *words)
    assert (code, said) == (
        1,
        f"Error: out of GPU memory with --batch {batch} (20.00 MiB more wanted). "
        f"Try --batch {smaller}, or --device cpu.",
    )
    assert not list(tmp_path.iterdir())


def test_batches_of_prediction_do_not_change_it(tiny: Path, tmp_path: Path, done: Run) -> None:
    for batch in (256, 5, 1):
        predict.predict_run(done, tiny, "test", tmp_path / f"{batch}.json", batch=batch)
    assert len({(tmp_path / f"{batch}.json").read_bytes() for batch in (256, 5, 1)}) == 1


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert not any(map(lacks_memory, (RuntimeError("shape mismatch"), KeyError("memory"), OSError(5, "I/O error"))))
    assert lacks_memory(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)))
    with pytest.raises(RuntimeError, match="^shape mismatch$"), memory_for("", ""):
        raise RuntimeError("shape mismatch")
    assert str(out_of_memory(MemoryError())) == "out of memory. End other programs first."


def test_a_packed_file_is_not_blamed_for_a_lack_of_memory(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lack = OSError("Can't synchronously read data (memory allocation failed for raw data chunk)")
    with PackedFile(tiny) as packed:
        monkeypatch.setattr("h5py.Dataset.__getitem__", failing(lack, 0, lambda *_: None))
        with pytest.raises(ResourceError, match=f"out of memory reading {tiny}. End other programs first"):
            packed.column("apples", "train", "label")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB in memory, for root; others skip."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False, text=True
    )
    if made.returncode:
        pytest.skip(f"a small file system cannot be mounted: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(folder: Path, left: int) -> Path:
    """Write a file that leaves so many bytes free."""
    space = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - left)))
    return folder / "filler"


@pytest.mark.parametrize("left", quickly([0, 4096, 100_000, 330_000], 4096))
def test_a_full_disk_in_training_keeps_the_last_checkpoint(
    tiny: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], done: Run,
    left: int,
) -> None:  # fmt: skip
    """Metrics, timing or the second or third checkpoint find no place, each after some of its bytes."""
    run, steps, real = Run(small_disk / "run"), iter(range(10**6)), Trainer.advance

    def advance(trainer: Trainer) -> int:
        if next(steps) == 10:
            fill(small_disk, left)
        return real(trainer)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "advance", advance)
        code, said = command(patched, capsys, "train", "--data", tiny, *OPTIONS, "-o", run.folder)
    assert code == 1 and said.startswith(f"Error: cannot write {run.folder}/")
    assert said.endswith(
        "(No space left on device). Free some space or choose another place, then continue with: decathlon train "
        f"--resume -o {run.folder}"
    )
    assert not list(run.folder.glob(".*.part"))
    (small_disk / "filler").unlink()
    resume(run.folder, None, TrainingProgress())
    assert digests(run) == digests(done)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [1, 600])
def test_a_limit_on_files_in_a_process_ends_training_in_one_sentence(
    tiny: Path, tmp_path: Path, done: Run, kilobytes: int
) -> None:
    run = Run(tmp_path / "run")
    said = refused(decathlon("train", "--data", tiny, *OPTIONS, "-o", run.folder, file_size=kilobytes << 10))
    assert "(File too large). Free some space or choose another place" in said and str(run.folder) in said
    if kilobytes > 300:
        assert decathlon("train", "--resume", "-o", run.folder).returncode == 0
        assert digests(run) == digests(done)
    else:  # nothing was begun: the same command may use the name
        assert decathlon("train", "--data", tiny, *OPTIONS, "-o", run.folder).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "out"),
    [("predict {run} --data {tiny}", "results.json"), ("score {run}/results.json --truth {truth}", "score.json"),
     ("merge {run} boats", "boats.safetensors"), ("merge {run} boats", "boats.pt2"),
     ("data export {tiny}", "images"),
     ("data show {tiny}", "look"), ("leaderboard --plot", "points.png"), ("leaderboard --html", "page.html"),
     ("data synth", "synth"), ("quickstart --out", "demo")],
)  # fmt: skip
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tiny: Path, tmp_path: Path, done: Run, words: str, out: str
) -> None:
    """That of torch's own writer ended the interpreter."""
    from tests.helpers.packs import write_truth

    predict.predict_run(done, tiny, "test", tmp_path / "run" / "results.json")
    places = {"run": done.folder, "tiny": tiny, "truth": write_truth(tmp_path / "truth")}
    asked = (
        words.format(**places).replace(f"{done.folder}/results.json", str(tmp_path / "run/results.json")).split()
    )
    folder = tmp_path / "out"
    folder.mkdir()
    flag = [] if asked[-1].startswith("--") or asked[-1] == "synth" else ["-o"]
    said = refused(decathlon(*asked, *flag, folder / out, file_size=100))
    assert said.startswith(f"cannot write {folder}/{out.partition('.')[0]}")
    assert "(File too large). Free some space or" in said
    assert not list(folder.iterdir())


def test_results_and_their_sidecar_appear_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, full = tmp_path / "results.json", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for at in range(2):
        with monkeypatch.context() as patched, pytest.raises(ResourceError, match="cannot write .*No space left"):
            patched.setattr("decathlon.system.files.sync", failing(full, at, lambda path: None))
            write_results(path, [1], [2], {})
        assert not path.exists() or not protocol_path(path).exists()
    write_results(path, [1], [2], {})
    assert path.exists() and protocol_path(path).exists() and len(list(tmp_path.iterdir())) == 2


def test_half_a_line_of_a_power_cut_does_not_spoil_the_next(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (tmp_path / "timing.jsonl").write_bytes(b'{"a": 1}\n{"a": ')
    run.append("timing.jsonl", [{"a": 2}])
    assert (tmp_path / "timing.jsonl").read_bytes() == b'{"a": 1}\n{"a": 2}\n'
    (tmp_path / "new").write_bytes(b'{"to')
    run.append("new", [{"a": 3}])
    assert (tmp_path / "new").read_bytes() == b'{"a": 3}\n'


@pytest.mark.parametrize(
    ("number", "fix"),
    [(errno.ENOSPC, "Free some space"), (errno.EDQUOT, "Free some space"), (errno.EROFS, "get the right to write"),
     (errno.EACCES, "get the right to write"), (errno.ENAMETOOLONG, "a shorter name"),
     (errno.EIO, "Check the disk")],
)  # fmt: skip
def test_every_refusal_says_how_to_fix_it(tmp_path: Path, number: int, fix: str) -> None:
    told = f"cannot write .*a.json .{os.strerror(number)}.. .*{fix}"
    (tmp_path / "a.json").write_text("old")
    with pytest.raises(ResourceError, match=told), replacing(tmp_path / "a.json"):
        raise OSError(number, os.strerror(number))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_file_within_a_replacement_is_called_by_the_name_it_will_have(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=f"^cannot write {tmp_path}/a.bin .No space"):  # noqa: SIM117
        with replacing(tmp_path / "a.bin") as part, replacing(part):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# devices


@pytest.mark.parametrize(
    ("name", "told"),
    [("cuda", "no CUDA device"), ("cuda:99", "no CUDA device"), ("mps", "unknown device 'mps'"),
     ("cuda:x", "unknown device"), ("", "unknown device"), ("cuda:²", "unknown device")],
)  # fmt: skip
def test_a_device_that_is_not_there_is_refused_before_data_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], done: Run, name: str,
    told: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for words in (["train", "--method", "bn"], ["predict", done.folder]):
        asked = (*words, "--data", tmp_path / "none.h5", "-o", tmp_path / "out", "--device", name)
        code, said = command(monkeypatch, capsys, *asked)
        assert code == 2 and told in said and not (tmp_path / "out").exists()


def test_a_number_beyond_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(device.find_device(name)) for name in ("cuda", "cuda:1")] == ["cuda", "cuda:1"]
    with pytest.raises(UsageError, match="there is no cuda:2. This machine has cuda:0 to cuda:1"):
        device.find_device("cuda:2")


# faults


def test_a_fault_is_told_and_its_traceback_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(
        "decathlon.data.packed_file.PackedFile.__init__", failing(KeyError("spam"), 0, lambda *_: None)
    )
    code, said = command(monkeypatch, capsys, "data", "info", "x.h5")
    (file,) = tmp_path.iterdir()
    assert code == 1 and said == (f"Error: internal error (KeyError: 'spam'). Please report it and attach {file}")
    assert file.read_text().startswith("Traceback") and "cli/data/info.py" in file.read_text()


def test_the_traceback_of_any_error_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["decathlon", "data", "info", str(tmp_path / "none.h5")])
    for value, wanted in (("0", False), ("1", True)):
        monkeypatch.setenv(_failures.TRACEBACK, value)
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 3 and ("Traceback" in capsys.readouterr().err) == wanted


def test_a_tensor_file_tells_what_the_disk_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    def full(*args: Any, **options: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    write_bytes(tmp_path / "a.safetensors", b"old")
    monkeypatch.setattr("decathlon.system.tensor_files.save_file", full)
    with pytest.raises(ResourceError, match="a.safetensors .No space left on device.. Free some space"):
        write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(1)}, {})
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
