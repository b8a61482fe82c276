from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from decathlon.data.image_pool import ImagePool, load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.errors import BusyError, DataError, DivergedError, UsageError, VerificationError
from decathlon.experiments.resume import resume
from decathlon.experiments.resume_changes import ResumeRequest
from decathlon.inference.evaluate import predict
from decathlon.inference.predict import predict_run
from decathlon.runs import checkpoints
from decathlon.runs.loading import load
from decathlon.runs.run_directory import Run, hold
from decathlon.system.device import find_device
from decathlon.system.progress import TrainingProgress
from decathlon.system.tensor_files import read_tensors, write_tensors
from decathlon.training import loop
from decathlon.training.trainer import Trainer, _check_labels
from tests.helpers.marks import slow
from tests.helpers.packs import TINY, write_pack
from tests.helpers.runs import RECIPE, digests, dying_at, go

COMMAND = [sys.executable, "-c", "from decathlon.cli.main import main; main()"]


@pytest.fixture(scope="module")
def trunk(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A joint run over all three domains."""
    return go(tiny, tmp_path_factory.mktemp("runs") / "trunk", "bn")


@pytest.mark.parametrize("method", ["bn", slow("mtan")])
def test_joint_training_learns_every_domain(tiny: Path, tmp_path: Path, method: str) -> None:
    run = go(tiny, tmp_path / "run", method, recipe=RECIPE.override({"epochs": 8}))
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [epoch for epoch in range(1, 9) for _ in range(3)]
    last = {row["domain"]: row for row in rows[-3:]}
    for domain in TINY:
        assert last[domain.name]["train_accuracy"] > 1.5 / len(domain.categories)
        assert 0 <= last[domain.name]["val_accuracy"] <= 1
    assert json.loads((run.folder / "run.json").read_text())["status"] == "done"
    assert not run.checkpoint.exists() and not run.start.exists()


@pytest.mark.parametrize("method", ["feature", slow("parallel"), slow("finetune"), "scratch", slow("mtan")])
def test_every_method_starts_from_a_trained_trunk(tiny: Path, tmp_path: Path, trunk: Run, method: str) -> None:
    regime = "frozen" if method == "mtan" else None
    run = go(tiny, tmp_path / "run", method, trunk=str(trunk.folder), regime=regime)
    assert predict_run(run, tiny, "val", tmp_path / "val.json") == dict.fromkeys(TINY.names, 9)
    if method in ("feature", "parallel", "mtan"):  # the frozen trunk is the one the other run learned
        theirs, mine = (read_tensors(path.trunk)[0] for path in (trunk, run))
        assert all(torch.equal(theirs[key], mine[key]) for key in theirs)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tiny: Path, tmp_path: Path) -> None:
    one, two, other = (
        go(tiny, tmp_path / name, "mtan", seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert digests(one) == digests(two) != digests(other)


@pytest.mark.parametrize("seconds", [slow(0), 300], ids=["checkpoint-a-step", "checkpoint-an-epoch"])
@pytest.mark.parametrize("kill_at", [slow(0), 4, slow(10), slow(11)])
@pytest.mark.parametrize(("method", "source"), [("mtan", False), ("parallel", True)])
def test_a_run_that_died_at_a_step_resumes_to_the_same_bits(
    tiny: Path,
    tmp_path: Path,
    trunk: Run,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    source: bool,
    kill_at: int,
    seconds: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", seconds)
    changes = {"trunk": str(trunk.folder)} if source else {}
    whole = go(tiny, tmp_path / "whole", method, **changes)
    with dying_at(monkeypatch, kill_at):
        go(tiny, tmp_path / "killed", method, **changes)
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(whole)


def test_dying_between_metrics_and_checkpoint_writes_no_line_twice(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = go(tiny, tmp_path / "whole")
    real, written = write_tensors, iter(range(10**6))

    def dying(*arguments: Any) -> None:
        if next(written) == 1:
            raise OSError("the machine died")
        real(*arguments)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="died"):
        patched.setattr(checkpoints, "write_tensors", dying)
        go(tiny, tmp_path / "killed")
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(whole)


def test_dying_after_the_last_step_is_mended_too(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = go(tiny, tmp_path / "whole")

    def dying(*_: Any) -> None:
        raise OSError("the machine died")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="died"):
        patched.setattr(loop, "_finish", dying)
        go(tiny, tmp_path / "killed")
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(whole)


@pytest.mark.slow
def test_forgetting_the_optimizer_would_be_noticed(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: without its momentum a resumed run must differ."""
    whole = go(tiny, tmp_path / "whole")
    with dying_at(monkeypatch, 11):
        go(tiny, tmp_path / "killed")
    load = Trainer.load_state

    def forgetful(trainer: Trainer, tensors: Any, values: Any) -> None:
        load(trainer, {name: t for name, t in tensors.items() if not name.startswith("optimizer")}, values)

    monkeypatch.setattr(Trainer, "load_state", forgetful)
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) != digests(whole)


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_same_bits(tiny: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of an epoch of a real process."""
    options = ["--data", str(tiny), "--method", "mtan", "--trunk", "wrn-10-1", "--recipe", "quick", "--batch", "6"]
    options += ["--epochs", "10", "--size", "16", "--eval-every", "7", "--threads", "1"]
    subprocess.run([*COMMAND, "train", *options, "-o", str(tmp_path / "whole")], check=True)
    killed = Run(tmp_path / "killed")
    process = subprocess.Popen([*COMMAND, "train", *options, "-o", str(killed.folder)])
    while not (killed.metrics.exists() and killed.metrics.stat().st_size > 1000):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.trained_domains(killed.read())
    subprocess.run([*COMMAND, "train", "--resume", "-o", str(killed.folder)], check=True)
    assert digests(killed) == digests(Run(tmp_path / "whole"))


def test_predictions_answer_every_test_image_with_a_category_of_its_domain(
    tiny: Path, tmp_path: Path, trunk: Run
) -> None:
    counts = predict_run(trunk, tiny, "test", tmp_path / "results.json")
    assert counts == dict.fromkeys(TINY.names, 12)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert len(rows) == 36 and all(row["image_id"] // 10**7 == row["category_id"] // 10**7 for row in rows)
    assert json.loads((tmp_path / "results.protocol.json").read_text())["fit"] == "train"


def test_a_domain_without_the_split_is_left_out_of_predictions(
    tiny: Path, tmp_path: Path, trunk: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PackedFile.count
    monkeypatch.setattr(
        PackedFile, "count", lambda file, name, split: 0 if name == "boats" else real(file, name, split)
    )
    counts = predict_run(trunk, tiny, "test", tmp_path / "results.json")
    assert counts == {"apples": 12, "boats": 0, "towers": 12}
    rows = json.loads((tmp_path / "results.json").read_text())
    assert {row["image_id"] // 10**7 for row in rows} == {1, 3}
    monkeypatch.setattr(PackedFile, "count", lambda *given: 0)
    with pytest.raises(DataError, match="has no test split of any domain that"):
        predict_run(trunk, tiny, "test", tmp_path / "none.json")
    assert not (tmp_path / "none.json").exists()


def test_predicting_twice_and_on_the_trained_network_agree(tiny: Path, tmp_path: Path) -> None:
    run = go(tiny, tmp_path / "run", "mtan", recipe=RECIPE.override({"epochs": 6}))
    predict_run(run, tiny, "val", tmp_path / "val.json")
    rows = {row["image_id"]: row["category_id"] for row in json.loads((tmp_path / "val.json").read_text())}
    with PackedFile(tiny) as packed:
        for domain in TINY:
            split = packed.read(domain.name, "val")
            right = [
                rows[i] == domain.category_ids[label]
                for i, label in zip(split.image_id.tolist(), split.label.tolist(), strict=True)
            ]
            last = json.loads(
                run.metrics.read_text().splitlines()[-len(TINY.names) + TINY.names.index(domain.name)]
            )
            assert last["val_accuracy"] == pytest.approx(sum(right) / len(right))


def test_fitting_on_train_and_val_leaves_nothing_held_out(tiny: Path, tmp_path: Path) -> None:
    run = go(tiny, tmp_path / "run", fit="train+val", domains=("boats",))
    row = json.loads(run.metrics.read_text().splitlines()[-1])
    assert "val_accuracy" not in row and row["step"] == 3 * 5 and run.trained_domains(run.read()) == ["boats"]


def test_a_trunk_that_does_not_match_is_refused(tiny: Path, tmp_path: Path, trunk: Run) -> None:
    run = go(tiny, tmp_path / "run", "parallel", trunk=str(trunk.folder))
    other = go(tiny, tmp_path / "other", "parallel", seed=3)
    run.trunk.write_bytes(other.trunk.read_bytes())
    with pytest.raises(VerificationError, match="trained over another trunk"):
        predict_run(run, tiny, "test", tmp_path / "results.json")


def test_other_categories_are_refused(tiny: Path, tmp_path: Path, trunk: Run) -> None:
    renamed = type(TINY)("tiny", tuple(type(d)(**{**vars(d), "categories": d.categories[::-1]}) for d in TINY))
    data = write_pack(tmp_path / "other.h5", renamed)
    with pytest.raises(VerificationError, match="other categories of apples"):
        predict_run(trunk, data, "test", tmp_path / "results.json")


def test_an_existing_run_is_not_overwritten(tiny: Path, trunk: Run) -> None:
    with pytest.raises(UsageError, match="already exists"):
        go(tiny, trunk.folder)


def test_a_folder_left_by_a_run_that_died_before_it_began_is_used(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(OSError, match="died"):
        patched.setattr(Run, "write", lambda *_: (_ for _ in ()).throw(OSError("died")))
        go(tiny, tmp_path / "run")
    assert (tmp_path / "run").is_dir()
    done = go(tiny, tmp_path / "run")
    assert done.trained_domains(done.read()) == list(TINY.names)


def test_a_run_without_a_shared_trunk_cannot_give_one(tiny: Path, tmp_path: Path) -> None:
    private = go(tiny, tmp_path / "scratch", "scratch", domains=("apples",))
    with pytest.raises(UsageError, match="no shared trunk"):
        go(tiny, tmp_path / "run", "feature", trunk=str(private.folder))


def test_resuming_with_other_data_is_refused(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_finish", lambda *_: (_ for _ in ()).throw(OSError("died")))
    with pytest.raises(OSError, match="died"):
        go(tiny, tmp_path / "run")
    other = write_pack(tmp_path / "other.h5", counts={"train": 20, "val": 5, "test": 5})
    with pytest.raises(UsageError, match=r"begun with data .*tiny.h5 \(\w{16}\), not .*other.h5 .*another name"):
        resume(tmp_path / "run", ResumeRequest(data=other, allow=True), TrainingProgress())


def test_a_second_trainer_on_a_run_is_told_so(tiny: Path, trunk: Run) -> None:
    with hold(trunk), pytest.raises(BusyError, match=f"is being trained by process {os.getpid()}. "):
        resume(trunk.folder, None, TrainingProgress())
    assert not (trunk.folder / ".lock").exists()


def test_a_diverged_run_stops_before_the_update_and_says_so(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="smaller --lr"):
        go(tiny, tmp_path / "run", recipe=RECIPE.override({"lr": 1e5, "warmup": 0.0}))
    assert Run(tmp_path / "run").read().status == "diverged"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_cuda_is_refused_before_data_is_touched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no CUDA device"):
        go(tmp_path / "absent.h5", tmp_path / "run", device="cuda")
    with pytest.raises(UsageError, match="unknown device"):
        find_device("gpu")


def test_training_is_augmented_with_a_new_seed_each_time_and_validation_is_not(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[object] = []
    real = ImagePool.batch

    def watched(pool: ImagePool, index: torch.Tensor, **options: Any) -> torch.Tensor:
        seeds.append(options.get("seed"))
        return real(pool, index, **options)

    monkeypatch.setattr(ImagePool, "batch", watched)
    go(tiny, tmp_path / "run", recipe=RECIPE.override({"eval_every": 2}))
    keyed = [seed for seed in seeds if seed is not None]
    assert len(keyed) == len(set(keyed)) == 3 * 9
    assert len(seeds) - len(keyed) == 2 * 3  # after epochs 2 and 3, three domains each


def test_the_trunk_gets_the_mean_of_the_domains_norms(trunk: Run) -> None:
    stored, _ = read_tensors(trunk.trunk)
    domains = [read_tensors(trunk.domain(name))[0] for name in TINY.names]
    for key in ("bn.weight", "bn.running_mean", "stage2.0.bn1.running_var"):
        mean = torch.stack([domain[f"body.{key}"] for domain in domains]).mean(0)
        torch.testing.assert_close(stored[f"trunk.{key}"], mean)
    assert not torch.equal(stored["trunk.bn.running_mean"], torch.zeros(64))


def test_a_domain_starts_from_the_norms_its_trunk_run_left_for_it(tiny: Path, tmp_path: Path, trunk: Run) -> None:
    run = go(tiny, tmp_path / "run", "feature", trunk=str(trunk.folder))
    for name in TINY.names:
        theirs, mine = read_tensors(trunk.domain(name))[0], read_tensors(run.domain(name))[0]
        assert torch.equal(theirs["body.bn.running_mean"], mine["body.bn.norm.running_mean"])


def test_evaluation_leaves_statistics_alone_and_uses_them(tiny: Path, trunk: Run) -> None:
    model = load(trunk, trunk.read(), torch.device("cpu")).model
    network = model.networks["boats"].train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with PackedFile(tiny) as packed:
        pool = load_pool(packed, TINY["boats"], ("val",), 16, 18)
    whole = predict(network, pool, bf16=False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    alone = network(pool.batch(torch.tensor([3])))  # still in evaluation mode: an image does not see its neighbours
    torch.testing.assert_close(alone[0], whole[3], atol=1e-4, rtol=1e-4)


def test_knobs_reach_the_training(tiny: Path, tmp_path: Path) -> None:
    settings: list[dict[str, Any]] = [{}, {"label_smoothing": 0.2}, {"crop": "full"}, {"weight_decay": 0.1}]
    plain, *others = (
        go(tiny, tmp_path / str(i), domains=("towers", "apples"), recipe=RECIPE.override(options))
        for i, options in enumerate(settings)
    )
    assert all(digests(other) != digests(plain) for other in others)


def test_unlabelled_images_are_not_trained_on(tiny: Path) -> None:
    with PackedFile(tiny) as packed:
        pool = load_pool(packed, TINY["boats"], ("test",), 16, 18)
    with pytest.raises(DataError, match="unlabelled images"):
        _check_labels("boats", pool)


@pytest.mark.parametrize("name", ["trunk.safetensors", "domains/boats.safetensors"])
def test_a_flipped_bit_is_refused(tiny: Path, tmp_path: Path, trunk: Run, name: str) -> None:
    shutil.copytree(trunk.folder, tmp_path / "run")
    file = tmp_path / "run" / name
    data = bytearray(file.read_bytes())
    data[-40] ^= 4
    file.write_bytes(data)
    with pytest.raises(VerificationError, match="damaged"):
        predict_run(Run(tmp_path / "run"), tiny, "test", tmp_path / "results.json")


def test_surprising_choices_are_remarked_on(
    tiny: Path, tmp_path: Path, trunk: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    go(tiny, tmp_path / "a", "parallel", domains=("apples",))
    assert "random weights" in capsys.readouterr().err
    go(tiny, tmp_path / "b", "parallel", trunk=str(trunk.folder), recipe=RECIPE.override({"size": 24}))
    assert "trained at 16 pixels" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"trunk_lr": float("nan")}, "trunk_lr is nan"), ({"milestones": ["a"]}, "fractions of all steps"),
     ({"label_smoothing": 3.0}, "from 0 to 1"), ({"warmup": 5.0}, "from 0 to 1"), ({"sampling": "foo"}, "sampling"),
     ({"size": 3000000}, "size is 3000000"), ({"epoch_batches": -3}, "epoch_batches is -3")],
)  # fmt: skip
def test_a_bad_knob_is_refused_before_anything_is_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RECIPE.override(options)
