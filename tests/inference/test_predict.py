"""Predictions are tied to their data and weights: others are refused, and the protocol names what was used."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.data.ground_truth import read_truth
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DataError, DecathlonError, VerificationError
from decathlon.experiments.resume import resume
from decathlon.experiments.resume_changes import ResumeRequest
from decathlon.experiments.verify import verify
from decathlon.runs.run_directory import Run
from decathlon.scoring.results import protocol_path, read_results
from decathlon.scoring.score import Score
from decathlon.scoring.seed_scores import GroupScore
from decathlon.system.checksums import read_sealed, write_sealed
from decathlon.system.files import write_json
from decathlon.system.progress import TrainingProgress
from tests.helpers import packs
from tests.helpers.marks import quickly
from tests.helpers.packs import COUNTS, TINY, tiny_domain, write_pack, write_truth
from tests.helpers.runs import RECIPE, digests, go

SHORT = RECIPE.override({"epochs": 1})
KINDS = ("another split", "other pixels", "other channel means", "more images")


def ask(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(command, list(map(str, words)))
    if isinstance(done.exception, DecathlonError):
        assert done.exception.exit_code == code, done.exception
        return str(done.exception)
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of different seeds, predicted."""
    folder = tmp_path_factory.mktemp("trained")
    for seed in (0, 1):
        go(tiny, folder / f"run{seed}", "bn", recipe=SHORT, seed=seed)
        ask("predict", folder / f"run{seed}", "--data", tiny)
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "runs"))


def other_pack(path: Path, kind: str) -> Path:
    """Write a packed file of the same categories that is not quite that of the runs."""
    if kind == "another split":  # its test images are among those that the runs trained on
        return write_pack(path, counts={"test": 12, "val": 9, "train": 24})
    if kind == "other pixels":
        with pytest.MonkeyPatch.context() as patched:
            real = packs.patch
            patched.setattr(packs, "patch", lambda *args: 255 - real(*args))
            return write_pack(path)
    if kind == "other channel means":
        return write_pack(path, replace(TINY, domains=tuple(replace(d, mean=(0.4, 0.4, 0.4)) for d in TINY)))
    assert kind == "more images"
    return write_pack(path, counts=COUNTS | {"test": 13})


@pytest.mark.parametrize("kind", quickly(KINDS, "another split", "other channel means"))
def test_other_images_than_the_run_knows_are_refused_or_named(runs: Path, tmp_path: Path, kind: str) -> None:
    data = other_pack(tmp_path / "other.h5", kind)
    words = "predict", runs / "run0", "--data", data, "-o", tmp_path / "results.json"
    refusal = ask(*words, code=4)
    assert refusal.startswith(
        f"{data} holds other test images or channel means of apples, boats, towers than the file "
    )
    assert refusal.endswith("tiny.h5, or add --allow-change to predict them anyway.")
    assert not (tmp_path / "results.json").exists()
    ask(*words, "--allow-change")
    protocol = read_results(tmp_path / "results.json").protocol
    assert protocol is not None and protocol["changed"] == "images"
    truth = write_truth(tmp_path / "truth", counts=COUNTS | {"test": 13} if kind == "more images" else COUNTS)
    if kind != "another split":  # its ids are others
        assert "changed images, benchmark tiny, data " in ask("score", tmp_path / "results.json", "--truth", truth)


def test_other_validation_images_are_refused_too_and_the_same_test_images_are_not(
    runs: Path, tmp_path: Path
) -> None:
    data = write_pack(tmp_path / "other.h5", counts={"train": 33, "test": 12})
    ask("predict", runs / "run0", "--data", data, "--force")
    data = write_pack(tmp_path / "fewer.h5", counts={"train": 24, "val": 8})
    assert "other val images or channel means of" in ask(
        "predict", runs / "run0", "--data", data, "--split", "val", code=4
    )


def test_a_file_without_the_domains_of_a_run_is_named(runs: Path, tmp_path: Path) -> None:
    other = write_pack(tmp_path / "zoo.h5", replace(TINY, domains=(tiny_domain("zoo", 4, 2),)))
    refusal = ask("predict", runs / "run0", "--data", other, "--force", code=2)
    assert refusal.startswith(f"{other} does not hold apples, boats, towers, which {runs / 'run0'} learned. Name")


def test_a_finished_run_is_not_said_to_be_finished_with_another_file(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(DecathlonError, match="run0 has finished training with data "):
        resume(runs / "run0", ResumeRequest(other_pack(tmp_path / "o.h5", "another split")), TrainingProgress())


def with_a_domain_more(path: Path) -> Path:
    return write_pack(path, replace(TINY, domains=(*TINY.domains, tiny_domain("zoo", 4, 2))))


def test_a_domain_that_was_added_later_changes_nothing(runs: Path, tmp_path: Path) -> None:
    before = (runs / "run0" / "results.json").read_bytes(), read_results(runs / "run0" / "results.json").protocol
    ask("predict", runs / "run0", "--data", with_a_domain_more(tmp_path / "four.h5"), "--force")
    after = (runs / "run0" / "results.json").read_bytes(), read_results(runs / "run0" / "results.json").protocol
    assert before == after


def test_a_run_resumes_over_a_file_that_got_a_domain_more(
    tiny: Path, run: Path, undisturbed: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ResumeRequest(with_a_domain_more(tmp_path / "four.h5"))
    assert digests(resume(run, asked, TrainingProgress())) == undisturbed
    assert "Changed" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["another split", "other channel means"])
def test_resuming_over_other_images_or_facts_is_a_change(run: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(DecathlonError, match="was begun with data "):
        resume(run, ResumeRequest(other_pack(tmp_path / "other.h5", kind)), TrainingProgress())


def test_a_run_of_an_earlier_release_knows_its_file_as_a_whole(runs: Path, tiny: Path, tmp_path: Path) -> None:
    run = Run(runs / "run0")
    record = run.read()
    replace(record, domains=tuple(replace(domain, digests={}) for domain in record.domains)).write(run.folder)
    ask("predict", run.folder, "--data", tiny, "--force")
    more = with_a_domain_more(tmp_path / "four.h5")
    refusal = ask("predict", run.folder, "--data", more, "--force", code=4)
    assert f"{more} is not the file that {run.folder} was trained on, as it was then: an earlier release" in refusal
    assert refusal.endswith(f"Name {record.data.path}, or add --allow-change to predict them anyway.")
    replace(run.read(), data=replace(record.data, path=more)).write(run.folder)
    assert "Restore that file, or add --allow-change" in ask(
        "predict", run.folder, "--data", more, "--force", code=4
    )
    changed = run.read().domains[0]
    replace(run.read(), domains=(replace(changed, digests={"test": "0" * 64}),)).write(run.folder)
    assert "which may have had some of them among those it trained on. Restore that file" in ask(
        "predict", run.folder, "--data", more, "--force", code=4
    )


def test_results_of_an_earlier_release_have_to_name_the_method_and_seed_of_their_run(
    runs: Path, tmp_path: Path
) -> None:
    truth = write_truth(tmp_path / "truth")
    for number in (0, 1):
        run = Run(runs / f"run{number}")
        record = run.read()
        replace(record, domains=tuple(replace(each, digests={}) for each in record.domains)).write(run.folder)
        sidecar = protocol_path(run.folder / "results.json")
        protocol = read_sealed(sidecar, "")
        write_sealed(sidecar, {key: value for key, value in protocol.items() if key not in ("weights", "images")})
        ask("score", run.folder, "--truth", truth)
    copy_results(runs / "run0", runs / "run1", "results.json", "results.protocol.json")
    assert "not made by this run's weights" in ask("score", runs / "run1", "--truth", truth, code=4)
    copy_results(runs / "run0", runs / "run1", "score.json")
    assert "not made by this run's weights" in ask("leaderboard", runs / "run1", code=4)


@pytest.mark.parametrize("without", [("weights",), ("everything",)])
def test_a_run_takes_no_results_or_score_that_do_not_say_what_made_them(
    runs: Path, tmp_path: Path, without: tuple[str, ...]
) -> None:
    truth, run = write_truth(tmp_path / "truth"), runs / "run0"
    copy_results(run, tmp_path, "results.json")
    if without == ("weights",):
        sidecar = protocol_path(run / "results.json")
        protocol = {key: value for key, value in read_sealed(sidecar, "").items() if key not in without}
        write_sealed(sidecar, protocol)
        assert "not made by this run's weights" in ask("score", run, "--truth", truth, code=4)
        write_sealed(protocol_path(tmp_path / "results.json"), protocol)
    ask("score", tmp_path / "results.json", "--truth", truth, "-o", tmp_path / "score.json")
    copy_results(tmp_path, run, "score.json")
    assert "score.json was not made by this run's weights" in ask("leaderboard", run, code=4)
    assert any("not made by this run's weights" in (checked.wrong or "") for checked in verify(run))


def test_a_trunk_that_was_trained_on_other_images_is_named(
    runs: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, trunk = other_pack(tmp_path / "other.h5", "another split"), str(runs / "run0")
    run = go(other, tmp_path / "over", "feature", trunk=trunk, recipe=SHORT)
    said = " ".join(capsys.readouterr().err.split())
    assert f"{trunk} was trained on other images of apples, boats, towers than {other} holds" in said
    ask("predict", run.folder, "--data", other)
    assert (read_results(run.folder / "results.json").protocol or {})["changed"] == "trunk images"
    again = go(other, tmp_path / "again", "bn", trunk=str(run.folder), recipe=SHORT)  # it is handed on
    assert [change.name for change in again.read().changes] == ["trunk images"]
    same = go(tiny, tmp_path / "same", "feature", trunk=trunk, recipe=SHORT)
    more = go(with_a_domain_more(tmp_path / "four.h5"), tmp_path / "more", "feature", trunk=trunk, recipe=SHORT)
    fresh = go(other, tmp_path / "fresh", "scratch", trunk=trunk, recipe=SHORT)  # takes no weights of it
    assert same.read().changes == more.read().changes == fresh.read().changes == ()


def test_seeds_that_were_predicted_from_different_images_are_no_group(runs: Path, tmp_path: Path) -> None:
    truth = write_truth(tmp_path / "truth")
    first, second = runs / "run0", runs / "run1"
    other = other_pack(tmp_path / "other.h5", "other pixels")
    ask("predict", second, "--data", other, "--allow-change", "--force")
    for run in (first, second):
        ask("score", run, "--truth", truth)
    with pytest.raises(DataError, match="the runs of the group answer different domains or images"):
        GroupScore((0, 1), (Score.read(first), Score.read(second)))


def test_only_domains_that_were_answered_are_not_compared(runs: Path, tiny: Path, tmp_path: Path) -> None:
    run = go(tiny, tmp_path / "boats", "feature", trunk=str(runs / "run0"), recipe=SHORT, domains=("boats",))
    ask("predict", run.folder, "--data", tiny, "--split", "val")
    said = ask("score", run.folder, "--split", "val", "--truth", tiny, "--partial")
    assert "not compared" not in said


def test_the_protocol_names_what_was_used_in_score_and_leaderboard(runs: Path, tiny: Path, tmp_path: Path) -> None:
    protocol = read_results(runs / "run0" / "results.json").protocol
    assert protocol is not None and set(protocol["images"]) == set(TINY.names)
    with PackedFile(tiny) as packed:
        assert (
            protocol["images"]["boats"]
            == packed.images_digest("boats", "test")
            != packed.split_digest("boats", "test")
        )
    truth = write_truth(tmp_path / "truth")
    for name in ("run0", "run1"):
        ask("score", runs / name, "--truth", truth)
    assert (Score.read(runs / "run0").protocol or {})["data"] == protocol["data"]
    board = ask("leaderboard", runs / "run0", runs / "run1", "--format", "csv")
    assert board.count(protocol["data"][:8]) == 2
    assert protocol["data"][:8] not in ask("leaderboard", runs / "run0", runs / "run1")  # the same for all rows
    path = runs / "run1" / "results.json"
    ask(
        "predict",
        runs / "run1",
        "--data",
        other_pack(tmp_path / "o.h5", "other pixels"),
        "--force",
        "--allow-change",
    )
    ask("score", runs / "run1", "--truth", truth)
    other = (read_results(path).protocol or {})["data"][:8]
    table = ask("leaderboard", runs / "run0", runs / "run1", "--format", "markdown")
    assert other in table and protocol["data"][:8] in table


def test_answers_of_other_images_are_refused(runs: Path, tiny: Path, tmp_path: Path) -> None:
    ask("predict", runs / "run0", "--data", tiny, "--split", "val")
    other = other_pack(tmp_path / "other.h5", "other pixels")
    refusal = ask("score", runs / "run0", "--split", "val", "--truth", other, code=4)
    assert f"answers other val images of apples than {other} has the answers of" in refusal
    assert "not compared" not in ask("score", runs / "run0", "--split", "val", "--truth", tiny)


def test_answers_in_a_json_file_may_name_their_images(runs: Path, tiny: Path, tmp_path: Path) -> None:
    truth = write_truth(tmp_path / "truth")
    bare = "not compared: results and ground truth do not both carry the digest of the images\n"
    assert bare in ask("score", runs / "run0", "--truth", truth)
    copy_results(runs / "run0", tmp_path, "results.json")  # without a protocol neither carries one
    assert bare in ask("score", tmp_path / "results.json", "--truth", truth)
    file = truth / "boats_test.json"
    document = read_sealed(file, "")
    with PackedFile(tiny) as packed:
        mine = packed.images_digest("boats", "test")
    write_sealed(file, document | {"images_sha256": mine})
    assert "digest of the images of apples, towers\n" in ask("score", runs / "run0", "--truth", truth)
    write_sealed(file, document | {"images_sha256": "0" * 64})
    assert "answers other test images of boats than" in ask("score", runs / "run0", "--truth", truth, code=4)
    write_json(file, document | {"images_sha256": 7})
    assert "is not ground truth (" in ask("score", runs / "run0", "--truth", truth, code=3)


def test_the_truth_of_an_added_domain_names_its_images(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(20):
        file = tmp_path / "set" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (12 * number, 0, 0)).save(file)
    ask("data", "add", tmp_path / "mine.h5", "--name", "mine", "--from", tmp_path / "set", "--workers", 1)
    (domain,) = read_truth(tmp_path / "mine-truth").domains
    with PackedFile(tmp_path / "mine.h5") as packed:
        assert domain.images == packed.images_digest("mine", "test") is not None


def copy_results(source: Path, target: Path, *names: str) -> None:
    for name in names:
        shutil.copy(source / name, target / name)


def test_results_of_another_run_are_refused_wherever_they_are_used(runs: Path, tmp_path: Path) -> None:
    truth, one, other = write_truth(tmp_path / "truth"), runs / "run0", runs / "run1"
    ask("score", one, "--truth", truth)
    copy_results(one, other, "results.json", "results.protocol.json")
    problem = f"{other}/results.json was not made by this run's weights. Run 'decathlon predict {other} "
    assert ask("score", other, "--truth", truth, code=4).startswith(problem)
    wrong = [checked.wrong for checked in verify(other) if checked.wrong]
    assert wrong and wrong[0].startswith(problem)
    copy_results(one, other, "score.json")
    problem = problem.replace("results.json", "score.json")
    assert ask("leaderboard", one, other, code=4).startswith(problem)
    assert ask("leaderboard", one, other / "score.json", code=4).startswith(problem)
    assert ask("score", one, "--truth", truth, "--baseline", other, code=4).startswith(problem)
    protocol_path(other / "results.json").unlink()
    assert "has lost results.protocol.json" in ask("score", other, "--truth", truth, code=4)
    ask("score", other / "results.json", "--truth", truth)  # as a file of unknown origin


@pytest.mark.slow
def test_results_of_another_seed_are_refused_in_a_group(tiny: Path, tmp_path: Path) -> None:
    words: list[Any] = ["--data", tiny, "--method", "bn", "--trunk", "wrn-10-1", "--recipe", "quick", "--size", 16]
    ask("train", *words, "--epochs", 1, "--seeds", 2, "-o", tmp_path / "group")
    ask("predict", tmp_path / "group", "--data", tiny)
    truth = write_truth(tmp_path / "truth")
    ask("score", tmp_path / "group", "--truth", truth)
    first, second = (tmp_path / "group" / f"seed-{seed}" for seed in (0, 1))
    copy_results(first, second, "results.json", "results.protocol.json", "score.json")
    assert "not made by this run's weights" in ask("score", tmp_path / "group", "--truth", truth, code=4)
    assert "not made by this run's weights" in ask("leaderboard", tmp_path / "group", code=4)
    with pytest.raises(VerificationError, match="not made by this run's weights"):
        Score.read(second)
